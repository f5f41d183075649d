"""A real `morgan serve` in a process of its own, with real models and databases of its own."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET6, socket
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from bench.own_server import MIND

START_S = 240.0

REPLY_TOKENS = 64
"""Of the longest reply: about 15 s of speech, which most calls of the tests hear to its end."""


@dataclass(frozen=True)
class RunningServer:
    """A Morgan to call.

    Attributes:
        url: of the page and the API.
        pid: of its process.
        log: file with its output.
        data_dir: where it keeps what it remembers.
    """

    url: str
    pid: int
    log: Path
    data_dir: Path

    def environment(self) -> dict[str, str]:
        """What `morgan env` prints, by name."""
        command = [sys.executable, "-m", "server.cli.main", "env", "--data-dir", str(self.data_dir)]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        lines = [line.removeprefix("export ").split("=", 1) for line in printed.splitlines()]
        return {name: value.strip("'") for name, value in lines}


def free_port() -> int:
    """The first of four TCP ports in a row that nobody listens on: the core's and those of the services.

    Below those that the system deals out, or the databases that a server starts first might be dealt one of them.
    """
    while True:
        port = random.randrange(12_000, 32_000, 4)
        with ExitStack() as probes:
            try:
                for offset in range(4):
                    probes.enter_context(socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port


def ipv6() -> bool:
    """Whether this machine has it."""
    try:
        with socket(AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@contextmanager
def serving(models_dir: Path, folder: Path, **environ: str) -> Iterator[RunningServer]:
    """A server that is ready for calls, on ports that are free; it must end well when asked to. See `serving_at`."""
    with serving_at(free_port(), models_dir, folder, **environ) as running:
        yield running


@contextmanager
def serving_at(port: int, models_dir: Path, folder: Path, **environ: str) -> Iterator[RunningServer]:
    """A server that is ready for calls; it must end well when asked to.

    Args:
        port: the first of its four, as `free_port` gives them.
        models_dir: the weights.
        folder: its data directory.
        environ: further settings.
    """
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    command = [sys.executable, "-m", "server.cli.main", "serve", "--port", str(port), "--data-dir", str(folder)]
    environment = {**os.environ, "MORGAN_MODELS_DIR": str(models_dir), "MORGAN_LOG_FORMAT": "json"}
    # Tests call as often as they need to, on whatever machine.
    environment |= {"MORGAN_LLM_MAX_TOKENS": str(REPLY_TOKENS), "MORGAN_MAX_CALLS": "16"}
    # A busy machine takes long to think; what its delay is apologised with has tests of its own.
    environment |= {"MORGAN_LLM_MODEL": MIND, "MORGAN_DELAY_APOLOGY": "", **environ}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url, log)
        yield RunningServer(url, process.pid, log, folder)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.returncode == 0, log.read_text()[-4000:]


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
