"""Webhooks that wait for one receiver, on disk and in order, so that neither a restart nor a kill loses any.

The journal of `persistence.journal` with another folder: what is recorded is in shared memory at once
(`Anteroom`), in the file as soon as its thread comes to it, and forgotten when it is delivered or given up.
"""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from persistence.errors import DataDirInUseError
from persistence.folder_lock import FolderLock, FolderLockedError
from persistence.journal.anteroom import Anteroom
from persistence.journal.frames import Frame, frame_size
from persistence.journal.journal import Journal
from persistence.tasks import ended, keep_running
from server.bounds import MAX_WEBHOOKS_WAITING
from server.webhooks.message import Message

AGAIN_S = 1.0
"""From one attempt to write to a full disk to the next."""

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Spool:
    """Messages for one receiver. Open it on the event loop; `add` never waits.

    Args:
        folder: of its journal, made where it is missing.

    Attributes:
        lost: messages that found it full.
    """

    def __init__(self, folder: Path) -> None:
        self.lost = 0
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, "morgan-webhooks")
        self._waiting: list[Frame] = []
        self._waiting_bytes = 0
        self._number = 0
        self._wake, self._readable = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Read what earlier runs left.

        Raises:
            persistence.errors.DataDirInUseError: another process has the folder.
            OSError: it cannot be written to.
        """
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._number = self._journal.last
        self._tasks = [keep_running(self._write, "webhook journal")]
        self._readable.set()

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return self._number - self._journal.delivered

    def add(self, message: Message) -> bool:
        """Keep a message until it is delivered; False where too much waits."""
        head = json.dumps({"id": message.id, "at": message.at}).encode()
        size = frame_size(head, message.body)
        if self._journal.pending_bytes + self._waiting_bytes + size > MAX_WEBHOOKS_WAITING:
            self.lost += 1
            return False
        self._number += 1
        frame = Frame(self._number, head, message.body)
        self._anteroom.put(self._journal.id, frame)
        self._waiting.append(frame)
        self._waiting_bytes += size
        self._wake.set()
        return True

    async def next(self) -> tuple[int, Message]:
        """The oldest message that waits, with its number; waits for one."""
        while True:
            self._readable.clear()
            found = await self._in_thread(lambda: self._journal.read(self._journal.delivered, 1, 1))
            if found:
                return found[0].number, _message(found[0])
            await self._readable.wait()

    async def done(self, number: int) -> None:
        """A message need not be kept any longer."""

        def forget() -> None:
            self._journal.acknowledge(number)
            if self._journal.delivered == self._journal.last:
                # Or its words would stay on disk until there are a megabyte of them.
                self._journal.leave_out()

        await self._in_thread(forget)

    async def count(self, wanted: Callable[[Message], bool]) -> int:
        """How many messages are kept, sent or not, that fit."""
        await self._write_now()
        return await self._in_thread(lambda: self._journal.count(lambda frame: wanted(_message(frame))))

    async def leave_out(self, unwanted: Callable[[Message], bool]) -> None:
        """Take messages that fit out of what waits, and all that are sent out of the file."""

        def rewrite() -> None:
            self._journal.leave_out(lambda frame: unwanted(_message(frame)))
            if not self._journal.read(self._journal.delivered, 1, 1):
                self._journal.acknowledge(self._journal.last)

        await self._write_now()
        await self._in_thread(rewrite)

    async def all(self) -> list[Message]:
        """All that wait, oldest first."""
        frames = await self._in_thread(
            lambda: self._journal.read(self._journal.delivered, MAX_WEBHOOKS_WAITING, MAX_WEBHOOKS_WAITING)
        )
        return [_message(frame) for frame in frames]

    async def settle(self) -> None:
        """Nothing to wait for: what is not sent is there for the next run."""

    async def close(self) -> None:
        """Bring everything to disk and let go of it."""
        await ended(self._tasks)
        if self._waiting:
            await self._in_thread(lambda: self._journal.append(self._waiting, time.monotonic()))
        await self._in_thread(lambda: self._journal.close(time.monotonic()))
        self._anteroom.close()
        self._lock.release()
        self._thread.shutdown()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock = FolderLock(self._folder / "lock")
        except FolderLockedError as error:
            raise DataDirInUseError(
                f"{self._folder} is in use by process {error}; give each server a data directory of its own"
            ) from None
        self._journal = Journal(self._folder, "always")
        self._anteroom = Anteroom(self._folder)
        left = self._anteroom.left(self._journal.id, self._journal.last)
        if left:
            self._journal.append(left, time.monotonic())
        for path in self._journal.damaged():
            # Nobody could send them, and they hold what was said.
            path.unlink()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._write_waiting(list(self._waiting))

    async def _write_now(self) -> None:
        if self._waiting:
            await self._write_waiting(list(self._waiting))

    async def _write_waiting(self, frames: list[Frame]) -> None:
        def write() -> None:
            # Some may be written meanwhile.
            self._journal.append([frame for frame in frames if frame.number > self._journal.last], time.monotonic())

        try:
            await self._in_thread(write)
        except OSError as error:
            log.error("webhooks cannot be written to disk", problem=str(error), waiting=len(self._waiting))
            await asyncio.sleep(AGAIN_S)
        self._waiting = [frame for frame in self._waiting if frame.number > self._journal.last]
        self._waiting_bytes = sum(frame_size(frame.json, frame.blob) for frame in self._waiting)
        if not self._waiting:
            self._anteroom.clear()
        self._readable.set()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _message(frame: Frame) -> Message:
    head = json.loads(frame.json)
    return Message(frame.blob, head["id"], head["at"])
