"""A `morgan serve` in a process of its own, for benches that start, stop and kill one."""

import asyncio
import os
import random
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Any

import aiohttp

from server.roles import Role, port_of, takes_calls

START_S = 90.0
STOP_S = 30.0

MIND = "smollm2-135m-instruct"
"""The language model, so that figures compare with earlier ones, and nothing is fetched meanwhile."""


class ServerFailedError(RuntimeError):
    """It did not come up; the message ends with its log."""


class OwnServer:
    """A server of ours.

    Args:
        data_dir: where it keeps its data, and its log beside them.
        role: "all", "core", or a service.
        port: the first of the block; free ones by default.
        module: what is run: `morgan`, or a variant of it.
        environ: settings.

    Attributes:
        port: the first of the block.
        url: of what this process serves.
        log: file with its output.
        environ: settings of the next start.
    """

    def __init__(
        self,
        data_dir: Path,
        role: Role = "all",
        port: int | None = None,
        module: str = "server.cli.main",
        **environ: str,
    ) -> None:
        self.port = port or free_ports()
        self.url = f"http://127.0.0.1:{self.port if takes_calls(role) else port_of(role, self.port)}"
        self.log = data_dir / ("server.log" if role == "all" else f"{role}.log")
        self._role = role
        self._module = module
        self._data_dir = data_dir
        self.environ = environ
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the process; 0 before `start`."""
        return self._process.pid if self._process is not None else 0

    async def start(self, within_s: float = START_S) -> float:
        """Start it; returns the seconds until it was ready.

        Args:
            within_s: in which it has to be.

        Raises:
            ServerFailedError: it is not ready in time.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True)
        command = [
            "-m",
            self._module,
            "serve",
            "--role",
            self._role,
            "--port",
            str(self.port),
            "--data-dir",
            str(self._data_dir),
        ]
        mind = {"MORGAN_LLM_MODEL": os.environ.get("MORGAN_LLM_MODEL", MIND)}
        environ = {**os.environ, "MORGAN_LOG_FORMAT": "json", **mind, **self.environ}
        began = time.monotonic()
        health = "/health/ready" if takes_calls(self._role) else "/health"
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=log, stderr=log, env=environ
            )
        async with aiohttp.ClientSession() as http:
            while time.monotonic() - began < within_s and self._process.returncode is None:
                if await _answers(http, f"{self.url}{health}"):
                    return time.monotonic() - began
                await asyncio.sleep(0.05)
        await self.kill()
        raise ServerFailedError(self.log.read_text()[-4000:])

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, which it must do well.

        Raises:
            ServerFailedError: it did not.
        """
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            await self.kill()
        if self._process.returncode != 0:
            raise ServerFailedError(f"ended with {self._process.returncode}")


def free_ports() -> int:
    """The first of four TCP ports in a row that nobody listens on, below those that the system deals out."""
    while True:
        port = random.randrange(12_000, 32_000, 4)
        with ExitStack() as probes:
            try:
                for offset in range(4):
                    probes.enter_context(socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port


async def get_json(http: aiohttp.ClientSession, url: str, **query: str) -> Any:
    """The JSON at an address; raises `aiohttp.ClientResponseError` for anything but success."""
    async with http.get(url, params=query) as response:
        response.raise_for_status()
        return await response.json()


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
