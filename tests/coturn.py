"""Debian's coturn, for tests of calls that have no other way than through a TURN server."""

import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from persistence.embedded.processes import ServerProcess
from tests.conftest import lacking
from tests.media.calls import until

SECRET = "a-secret-shared-with-coturn"


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """A coturn on a port of loopback, with `SECRET`; its URL and its log."""
    program = shutil.which("turnserver")
    if program is None:
        lacking("There is no coturn: apt-get install coturn.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "turn.log"
    config = folder / "turnserver.conf"
    config.write_text(
        f"listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nlistening-port={port}\nuse-auth-secret\n"
        f"static-auth-secret={SECRET}\nrealm=morgan\nuserdb={folder}/turn.db\npidfile={folder}/turn.pid\n"
        # Loopback peers are refused otherwise, and want a password of the command line that is off.
        "allow-loopback-peers\nno-cli\ncli-password=none\nno-tls\nno-dtls\nverbose\nlog-file=stdout\n"
        # As docs/operations.md has it: towards Morgan and nowhere else.
        "denied-peer-ip=0.0.0.0-255.255.255.255\nallowed-peer-ip=127.0.0.1\n"
    )
    process = ServerProcess.spawn([str(program), "-c", str(config)], log)
    try:
        await until(lambda: log.exists() and b"Relay ports initialization done" in log.read_bytes(), timeout=60)
        yield f"turn:127.0.0.1:{port}?transport=udp", log
    finally:
        await process.stop(signal.SIGTERM, 10)
