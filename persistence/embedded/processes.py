"""Server processes of our own: started as children, or found again as orphans of a server that was killed."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
SYSTEM_USER = "morgan"
LOG_BYTES = 8 * 1024 * 1024
POLL_S = 0.05


def free_port(preferred: int | None = None) -> int:
    """A TCP port of the loopback that nobody listens on: the preferred one if possible."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no free TCP port on the loopback")


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def command_of(pid: int) -> str | None:
    """The command line of a living process; None where there is none (a zombie has none either)."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        if Path("/proc/self").exists():
            return None
        shown = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        line = shown.stdout.strip()
    return line or None


class ServerProcess:
    """A running server; `child` is None for one that we found running.

    Args:
        pid: of the process.
        child: the handle, where we started it.
    """

    def __init__(self, pid: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self._child = child
        self._command = command_of(pid) if child is None else None

    @classmethod
    def spawn(
        cls, args: Sequence[str], log_file: Path, *, user: pwd.struct_passwd | None = None, stdin: bytes = b""
    ) -> "ServerProcess":
        """Start a server in a session of its own, so that Ctrl-C reaches us first; output goes to the log file.

        Raises:
            OSError: it cannot be started.
        """
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        with log_file.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603
                args,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=clean_environment(),
                start_new_session=True,
                **identity(user),  # type: ignore[call-overload]
            )
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(stdin)
            child.stdin.close()
        return cls(child.pid, child)

    @property
    def running(self) -> bool:
        """Whether it lives."""
        if self._child is not None:
            return self._child.poll() is None
        return self._command is not None and command_of(self.pid) is not None

    @property
    def adopted(self) -> bool:
        """Whether an earlier run started it."""
        return self._child is None

    async def stop(self, how: signal.Signals, timeout_s: float) -> None:
        """Send a signal and wait; SIGKILL when the time is over."""
        for sign, patience in ((how, timeout_s), (signal.SIGKILL, 5.0)):
            deadline = time.monotonic() + patience
            with contextlib.suppress(ProcessLookupError):
                if self.running:
                    os.kill(self.pid, sign)
            # Of an orphan there is nothing to wait on.
            while self.running and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            if not self.running:
                return


def clean_environment() -> dict[str, str]:
    """What servers get of our environment: nothing that would configure them behind our back."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def identity(user: pwd.struct_passwd | None) -> dict[str, object]:
    """Arguments of `subprocess` to run as another user; none for None."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs what refuses to run as root: None when we are not root ourselves.

    Takes the system user "morgan", makes it if need be, and falls back to "nobody" where users cannot be made.
    """
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        made = subprocess.run(  # noqa: S603
            [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            capture_output=True,
            check=False,
        )
        log.info("system user made, PostgreSQL does not run as root", user=SYSTEM_USER, ok=made.returncode == 0)
    for name in (SYSTEM_USER, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise OSError("PostgreSQL does not run as root, and there is neither a user morgan nor a user nobody")
