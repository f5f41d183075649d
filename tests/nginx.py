"""nginx as docs/operations.md sets it up in front of Morgan, on ports and with a certificate of the tests."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from persistence.embedded.processes import ServerProcess
from tests.conftest import lacking
from tests.docs.fences import blocks
from tests.media.calls import until
from tests.server.http.test_tls import make

OPERATIONS = Path(__file__).resolve().parents[1] / "docs" / "operations.md"


def replaced(text: str, old: str, new: str) -> str:
    """The text with other words, which have to be in it."""
    assert old in text, f"{old!r} is not in the configuration of {OPERATIONS.name}"
    return text.replace(old, new)


def documented(port: int, morgan: str, chain: Path, key: Path) -> str:
    """The configuration of the documentation, where only addresses and the certificate are others."""
    (block,) = (block for block in blocks(OPERATIONS) if block.language == "nginx")
    text = replaced(block.code, "listen 443 ssl;", f"listen 0.0.0.0:{port} ssl;")
    text = replaced(text, "server_name morgan.example.org;", "server_name _;")
    text = replaced(text, "http://127.0.0.1:8000;", f"{morgan};")
    text = replaced(text, "/etc/ssl/morgan.pem", str(chain))
    return replaced(text, "/etc/ssl/morgan.key", str(key))


@asynccontextmanager
async def nginx(folder: Path, port: int, morgan: str) -> AsyncIterator[None]:
    """An nginx on a port of all addresses, which speaks https and hands on to Morgan.

    Args:
        folder: where it keeps everything.
        port: that it listens on.
        morgan: URL of the core.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        lacking("There is no nginx: apt-get install nginx-light.")
    chain, key = make(folder, "localhost")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        "events { worker_connections 256; }\n"
        f"http {{\naccess_log off;\n{paths}\n{documented(port, morgan, chain, key)}\n}}\n"
    )
    command = [str(program), "-p", str(folder), "-e", "stderr", "-c", str(config)]
    checked = await asyncio.to_thread(subprocess.run, [*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    # The check has written one, too.
    (folder / "nginx.pid").unlink(missing_ok=True)
    process = ServerProcess.spawn(command, folder / "nginx.log")
    try:
        await until((folder / "nginx.pid").exists, timeout=60)
        yield
    finally:
        await process.stop(signal.SIGTERM, 10)
