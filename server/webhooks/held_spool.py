"""Webhooks that wait for one receiver where words are to stand in no file: in this process, and gone with it."""

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from server.bounds import MAX_WEBHOOKS_WAITING
from server.webhooks.message import Message
from server.webhooks.spool import Spool

SETTLE_S = 2.0
"""What is left at the end of the process is waited for so long."""

log = structlog.get_logger(__name__)


class HeldSpool:
    """As `Spool`, without a file.

    Args:
        folder: where a run that kept them on disk left some; taken in, and removed.

    Attributes:
        lost: messages that found it full.
    """

    def __init__(self, folder: Path) -> None:
        self.lost = 0
        self._folder = folder
        self._waiting: deque[tuple[int, Message]] = deque()
        self._bytes = 0
        self._number = 0
        self._some, self._none = asyncio.Event(), asyncio.Event()
        self._none.set()

    @property
    def pending(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    async def open(self) -> None:
        """Take in what earlier runs left on disk. Raises as `Spool.open`."""
        if not await asyncio.to_thread(self._folder.is_dir):
            return
        spool = Spool(self._folder)
        await spool.open()
        try:
            for message in await spool.all():
                self.add(message)
        finally:
            await spool.close()
        await asyncio.to_thread(shutil.rmtree, self._folder)

    def add(self, message: Message) -> bool:
        """Keep a message until it is delivered; False where too much waits."""
        if self._bytes + len(message.body) > MAX_WEBHOOKS_WAITING:
            self.lost += 1
            return False
        self._number += 1
        self._bytes += len(message.body)
        self._waiting.append((self._number, message))
        self._none.clear()
        self._some.set()
        return True

    async def next(self) -> tuple[int, Message]:
        """The oldest message that waits, with its number; waits for one."""
        await self._some.wait()
        return self._waiting[0]

    async def done(self, number: int) -> None:
        """A message need not be kept any longer."""
        self._keep([each for each in self._waiting if each[0] > number])

    async def count(self, wanted: Callable[[Message], bool]) -> int:
        """How many messages fit."""
        return sum(wanted(message) for _, message in self._waiting)

    async def leave_out(self, unwanted: Callable[[Message], bool]) -> None:
        """Forget messages that fit."""
        self._keep([each for each in self._waiting if not unwanted(each[1])])

    async def settle(self) -> None:
        """Wait a moment for all to be sent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._none.wait()

    async def close(self) -> None:
        """What was not sent is lost."""
        if self._waiting:
            log.warning("webhooks that were not sent are lost", messages=len(self._waiting))

    def _keep(self, messages: list[tuple[int, Message]]) -> None:
        self._waiting = deque(messages)
        self._bytes = sum(len(message.body) for _, message in messages)
        if not messages:
            self._some.clear()
            self._none.set()
