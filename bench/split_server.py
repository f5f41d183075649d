"""Core and services as four processes, as compose arranges them, for benches and tests that stop and kill them."""

import asyncio
from pathlib import Path

from bench.own_server import OwnServer, free_ports
from server.roles import Role


class SplitServer:
    """Four processes of ours that make one Morgan.

    Args:
        data_dir: shared by them.
        environ: settings of all of them.

    Attributes:
        url: of the core.
        core: the process that takes calls.
        services: the others by name: "llm", "tts", "stt".
    """

    def __init__(self, data_dir: Path, **environ: str) -> None:
        port = free_ports()
        roles: tuple[Role, ...] = ("llm", "tts", "stt")
        self.services = {role: OwnServer(data_dir, role, port, **environ) for role in roles}
        urls = {f"MORGAN_{role.upper()}_URL": service.url for role, service in self.services.items()}
        self.core = OwnServer(data_dir, "core", port, **environ, **urls)
        self.url = self.core.url

    async def start(self) -> None:
        """Start all at the same time; the core waits for the others by itself.

        Raises:
            bench.own_server.ServerFailedError: one is not ready in time.
        """
        await asyncio.gather(*(part.start() for part in (*self.services.values(), self.core)))

    async def stop(self) -> None:
        """Ask all to end, which they must do well, the core first.

        Raises:
            bench.own_server.ServerFailedError: one did not.
        """
        await self.core.stop()
        await asyncio.gather(*(service.stop() for service in self.services.values()))
