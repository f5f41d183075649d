"""What our own servers have in common: start or take over, watch, start again, stop."""

import abc
import asyncio
import contextlib
import errno
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import structlog

from persistence.backoff import Backoff
from persistence.embedded.processes import ServerProcess, free_port, write_private
from persistence.errors import EmbeddedServerError
from persistence.tasks import ended, keep_running

log = structlog.get_logger(__name__)

WATCH_S = 0.25
ATTEMPT_S = 5.0
"""An attempt to connect counts for so long at most against the time that a start may take."""

LOG_TAIL_BYTES = 2000

STARTS = 3
"""Tries of a first start, each on a port of its own: the port that was found free may be dealt to anybody's connection
while a cluster is made."""


class EmbeddedServer(abc.ABC):
    """A database server that Morgan starts for itself.

    A server of a killed Morgan goes on running; the next start finds it by its state file and takes it over, or stops
    it when it does not answer. A server that dies is started again on the same port.

    Args:
        name: for logs.
        state_file: where port and password are remembered.
        log_file: of the server's output.
        start_timeout_s: a server that does not answer by then is stopped.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, state_file: Path, log_file: Path, start_timeout_s: float) -> None:
        self.name = name
        self.process: ServerProcess | None = None
        self.restarts = 0
        self.port = 0
        self._state_file = state_file
        self._log_file = log_file
        self._start_timeout_s = start_timeout_s
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Have the server answering when this returns, and keep it so until `stop`.

        Raises:
            EmbeddedServerError: it cannot be started; the message says why.
        """
        await self._prepare()
        for tries_left in reversed(range(STARTS)):
            try:
                await self._bring_up()
                break
            except EmbeddedServerError as error:
                if not tries_left or os.strerror(errno.EADDRINUSE) not in str(error):
                    raise
                log.warning("port taken meanwhile, trying another", server=self.name, port=self.port)
                self.port = free_port()
                self._keep_state()
        self._watch = keep_running(self._keep_up, f"watch over {self.name}")

    async def stop(self) -> None:
        """Stop the server, also one that another process started."""
        if self._watch is not None:
            await ended([self._watch])
            self._watch = None
        if self.process is not None:
            await self.process.stop(self.stop_signal, 10.0)
            self.process = None

    @abc.abstractmethod
    async def _prepare(self) -> None:
        """What comes before the first start: find the program, make folders, choose port and password."""

    @abc.abstractmethod
    def _keep_state(self) -> None:
        """Write down where the server is to be found."""

    @abc.abstractmethod
    def _orphan(self) -> ServerProcess | None:
        """The server of an earlier run, if it still lives."""

    @abc.abstractmethod
    def _spawn(self) -> ServerProcess:
        """Start the process."""

    @abc.abstractmethod
    async def _answers(self) -> bool:
        """Whether the server on our port takes our password."""

    def _remembered(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(self._state_file.read_text())
            if isinstance(state, dict):
                return state
        return {}

    def _remember(self, **state: object) -> None:
        write_private(self._state_file, json.dumps(state) + "\n")

    async def _bring_up(self) -> None:
        started = time.monotonic()
        orphan = self._orphan()
        if orphan is not None:
            if await self._wait_for(orphan):
                self.process = orphan
                log.info("took over a server of an earlier run", server=self.name, pid=orphan.pid, port=self.port)
                return
            log.warning("a server of an earlier run does not answer, stopping it", server=self.name, pid=orphan.pid)
            await orphan.stop(signal.SIGQUIT, 3.0)
        log_start = self._log_file.stat().st_size if self._log_file.exists() else 0
        try:
            self.process = self._spawn()
        except OSError as error:
            raise EmbeddedServerError(f"{self.name} cannot be started: {error}") from error
        if not await self._wait_for(self.process):
            await self.process.stop(signal.SIGQUIT, 3.0)
            raise EmbeddedServerError(f"{self.name} does not answer; its log ends with: {self._log_tail(log_start)}")
        seconds = round(time.monotonic() - started, 2)
        log.info("server started", server=self.name, pid=self.process.pid, port=self.port, seconds=seconds)

    async def _wait_for(self, process: ServerProcess) -> bool:
        waited_s = 0.0
        while process.running and waited_s < self._start_timeout_s:
            asked = time.monotonic()
            if await self._answers():
                return True
            await asyncio.sleep(0.03)
            # A machine that was stopped counts for nothing: the server had no time either.
            waited_s += min(time.monotonic() - asked, ATTEMPT_S)
        return False

    def _log_tail(self, start: int) -> str:
        try:
            with self._log_file.open("rb") as file:
                end = file.seek(0, 2)
                # A log that was put aside begins anew.
                file.seek(max(start if start <= end else 0, end - LOG_TAIL_BYTES))
                return file.read().decode(errors="replace").strip()
        except OSError as error:
            return f"({error})"

    async def _keep_up(self) -> None:
        backoff = Backoff(0.2, 10.0)
        while True:
            await asyncio.sleep(WATCH_S)
            if self.process is not None and self.process.running:
                continue
            self.restarts += 1
            log.error("server died, starting it again", server=self.name, restarts=self.restarts)
            try:
                await self._bring_up()
                backoff.succeeded()
            except Exception as error:  # whatever it is, nobody else starts it again
                self.process = None
                expected = isinstance(error, EmbeddedServerError | OSError)
                log.error(
                    "server cannot be started again yet",
                    server=self.name,
                    problem=str(error) or type(error).__name__,
                    exc_info=not expected,
                )
                await asyncio.sleep(backoff.failed())
