"""A real `morgan serve` in a process of its own, with real models, for the tests that call it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

START_S = 60.0


@dataclass(frozen=True)
class RunningServer:
    """A Morgan to call.

    Attributes:
        url: of the page and the API.
        pid: of its process.
        log: file with its output.
    """

    url: str
    pid: int
    log: Path


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that is ready for calls."""
    folder = tmp_path_factory.mktemp("morgan")
    port, log = free_port(), folder / "log"
    command = [sys.executable, "-m", "server.cli.main", "serve", "--port", str(port), "--data-dir", str(folder)]
    environment = {**os.environ, "MORGAN_MODELS_DIR": str(models_dir), "MORGAN_LOG_FORMAT": "json"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url, log)
        yield RunningServer(url, process.pid, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.returncode == 0, log.read_text()[-4000:]


@pytest.fixture(scope="session")
def server_url(server: RunningServer) -> str:
    """Where the server is."""
    return server.url


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"morgan serve ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urlopen(f"{url}/health/ready", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"morgan serve was not ready after {START_S} s:\n{log.read_text()[-4000:]}")
