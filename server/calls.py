"""The calls of this process: opened, found, counted, hung up."""

import asyncio
import contextlib
import hmac
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from media.endpoint import EndpointFullError, MediaEndpoint
from pipeline.call.options import CallOptions
from pipeline.cores import CORES
from pipeline.engines.protocols import Engines
from server.beginnings import Beginning
from server.call import Call, Line
from server.capacity import Capacity
from server.memory_door import MemoryDoor
from server.metrics import Metrics
from server.speech.cache import CachedSpeech
from server.webrtc_line import WebRtcLine

log = structlog.get_logger(__name__)


RETRY_S = 10
"""A caller who was refused may try again then."""


class CallsFullError(Exception):
    """No further call can be taken now; the message is fit for the caller."""


class CallRegistry:
    """All calls of this process.

    Args:
        engines: shared by them.
        endpoint: the media port.
        memory: where calls are written down.
        metrics: what is counted.
        defaults: options of calls that do not say otherwise.
        capacity: how many calls may be open.
        lost_grace_s: how long a vanished caller is waited for.
    """

    def __init__(
        self,
        engines: Engines,
        endpoint: MediaEndpoint,
        memory: MemoryDoor,
        metrics: Metrics,
        defaults: CallOptions,
        capacity: Capacity,
        lost_grace_s: float,
    ) -> None:
        self.engines = engines
        self.endpoint = endpoint
        self.memory = memory
        self.metrics = metrics
        self._capacity = capacity
        self.lost_grace_s = lost_grace_s
        self.draining = False
        self.total = 0
        self.messages = 0
        self._defaults = defaults
        self._past: Counter[str] = Counter()
        self._calls: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def active(self) -> list[Call]:
        """The calls that are open."""
        return list(self._calls.values())

    @property
    def capacity(self) -> int:
        """Calls that may be open now; where nobody has set it, it falls while callers wait too long."""
        return self._capacity.calls(len(self._calls), CORES.waiting_s())

    def answered(self, seconds: float) -> None:
        """A turn was answered, so long after its last sound."""
        self._capacity.answered(seconds)

    @property
    def defaults(self) -> CallOptions:
        """Options of calls that do not say otherwise."""
        return self._defaults

    async def open(self, offer: str, beginning: Beginning | None = None, **options: Any) -> tuple[Call, str]:
        """Take a call over WebRTC.

        Args:
            offer: SDP.
            beginning: the conversation that it goes on with; a new one if not given.
            options: fields of `CallOptions` that differ from the defaults; None values do not.

        Returns:
            The call and the SDP answer.

        Raises:
            CallsFullError: the server is full or going down.
            media.values.InvalidOfferError: the offer cannot be answered.
        """
        call = self._reserve(beginning, options)
        try:
            answer = await WebRtcLine(call, self.endpoint, self.lost_grace_s, self.spawn).connect(offer)
        except EndpointFullError as error:
            raise CallsFullError(str(error)) from None
        finally:
            self._settle(call)
        return call, answer

    def open_on(self, line: Callable[[Call], Line], beginning: Beginning | None = None, **options: Any) -> Call:
        """Take a call on a line that stands already.

        Args:
            line: makes it.
            beginning: as in `open`.
            options: as in `open`.

        Raises:
            CallsFullError: the server is full or going down.
        """
        call = self._reserve(beginning, options)
        try:
            call.begin(line(call))
        finally:
            self._settle(call)
        return call

    def _reserve(self, beginning: Beginning | None, options: dict[str, Any]) -> Call:
        """A call that counts from now on, before anything is awaited, so that many at once cannot pass the bound."""
        if self.draining:
            raise CallsFullError("This server is shutting down")
        if len(self._calls) >= (capacity := self.capacity):
            self.metrics.call_refused()
            log.info("call refused", active=len(self._calls), capacity=capacity)
            lines = "The only line is busy" if capacity == 1 else f"All {capacity} lines are busy"
            raise CallsFullError(lines)
        beginning = beginning or Beginning()
        given = {name: value for name, value in options.items() if value is not None}
        given["conversation_id"] = beginning.conversation_id
        call = Call(self, replace(self._defaults, **given), beginning)
        self._calls[call.id] = call
        return call

    def _settle(self, call: Call) -> None:
        """The call stands, or came to nothing."""
        if call.line is None:
            del self._calls[call.id]
            return
        self.total += 1
        self.metrics.call_opened()
        self._empty.clear()
        log.info("call opened", call_id=call.id, kind=call.kind)

    def engines_for(self, conversation_id: str) -> Engines:
        """The engines of one call: what the voice says goes from its cache when the conversation is deleted."""
        tts = self.engines.tts
        return replace(self.engines, tts=tts.of(conversation_id)) if isinstance(tts, CachedSpeech) else self.engines

    def find(self, call_id: str) -> Call | None:
        """An open call by its id."""
        return self._calls.get(call_id)

    @staticmethod
    def may_resume(call: Call, token: str) -> bool:
        """Whether a token is the call's, in constant time."""
        return hmac.compare_digest(call.resume_token.encode(), token.encode())

    def counts(self) -> dict[str, int]:
        """Counters of the machines of all calls, open and past."""
        summed = self._past.copy()
        for call in self.active:
            summed.update(call.counts)
        return dict(summed)

    def forget(self, call: Call, reason: str) -> None:
        """A call has ended."""
        if self._calls.pop(call.id, None) is not None:
            self._past.update(call.counts)
            self.messages += call.record.messages
            self.metrics.call_ended(reason, call.record.seconds())
        if not self._calls:
            self._empty.set()

    def spawn(self, work: Any) -> None:
        """Run something that nobody waits for, and keep hold of it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, patience_s: float) -> None:
        """Take no more calls, and wait for the open ones to end."""
        self.draining = True
        started = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
        log.info("drained", seconds=round(time.monotonic() - started, 1), calls_left=len(self._calls))

    async def close(self) -> None:
        """End all calls."""
        self.draining = True
        await asyncio.gather(*(call.end("shutdown") for call in self.active), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
