"""The calls of this process: opened, found, counted, hung up."""

import asyncio
import contextlib
import hmac
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import structlog

from media.peer import WebRtcPeer
from pipeline.call.events import CallEvent
from pipeline.call.options import CallOptions
from pipeline.call.requests import EndReply, SayPhrase
from pipeline.engines.protocols import Engines
from pipeline.scheduling.cores import longest_wait_s
from server.calls.call import Call, CallIdentity
from server.calls.capacity import Capacity
from server.calls.defaults import with_speeds
from server.calls.drain import Drain, Step
from server.calls.handed_over import HandedCall, HandedOver
from server.calls.line_book import LineBook
from server.calls.parts import CallParts
from server.calls.peer_sweep import PeerSweep
from server.conversations.beginnings import Beginning
from server.observability.background import log_failure
from server.speech.cache import CachedSpeech

log = structlog.get_logger(__name__)


RETRY_S = 10
"""A caller who was refused may try again then."""


DRAIN_RETRY_S = 2
"""A caller whom a server refuses that is going down may ask the one that follows then."""

DRAIN_LOOK_S = 0.05
"""Pause between two looks at calls that are to end."""


class CallsFullError(Exception):
    """No further call can be taken now; the message is fit for the caller."""


class DrainingError(CallsFullError):
    """This server is going down."""

    def __init__(self) -> None:
        super().__init__("This server is shutting down")


class HalfOpenError(CallsFullError):
    """This client has too many calls that are not connected yet."""


class CallRegistry:
    """All calls of this process; implements `server.calls.call.CallHost`. Needs a running event loop.

    A call counts from `reserve` on until its end has freed everything, and is to be found for as long.

    Args:
        parts: what calls are made of.
        defaults: options of calls that do not say otherwise.
        capacity: how many calls may be open.
        lost_grace_s: how long a vanished caller is waited for.
        longest_s: after which a call ends.
        half_open: calls of one client that may be unconnected at the same time.
        handed_over: takes the calls that a restart ends.
    """

    def __init__(
        self,
        parts: CallParts,
        defaults: CallOptions,
        capacity: Capacity,
        *,
        lost_grace_s: float,
        longest_s: float = 14_400.0,
        half_open: int = 10,
        handed_over: HandedOver | None = None,
    ) -> None:
        self.engines = parts.engines
        self.endpoint = parts.endpoint
        self.memory = parts.memory
        self.metrics = parts.metrics
        self.make_talk = parts.make_talk
        self.lost_grace_s = lost_grace_s
        self.longest_s = longest_s
        self.handed_over = handed_over or HandedOver()
        self.draining = False
        self.total = 0
        self.messages = 0
        self._webhooks = parts.webhooks
        self._defaults = defaults
        self._capacity = capacity
        self._past: Counter[str] = Counter()
        self._calls: dict[str, Call] = {}
        self._lines = LineBook(half_open)
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._hurried = asyncio.Event()
        self._sweep = PeerSweep(parts.endpoint, self._owned_peers, parts.metrics)

    @property
    def active(self) -> list[Call]:
        """The calls that are open."""
        return list(self._calls.values())

    @property
    def capacity(self) -> int:
        """Calls that may be open now; where nobody has set it, it falls while callers wait too long."""
        return self._capacity.calls(len(self._calls), longest_wait_s())

    @property
    def late(self) -> bool:
        """Whether callers wait much longer than one alone would, so that nobody else is let in."""
        return self._capacity.late(longest_wait_s())

    def answered(self, seconds: float) -> None:
        """A turn was answered, so long after its last sound."""
        self._capacity.answered(seconds)

    @property
    def defaults(self) -> CallOptions:
        """Options of calls that do not say otherwise."""
        return with_speeds(self._defaults, self._capacity.speeds)

    @contextlib.asynccontextmanager
    async def reserve(
        self,
        beginning: Beginning | None = None,
        client: str | None = None,
        identity: CallIdentity | None = None,
        **options: Any,
    ) -> AsyncIterator[Call]:
        """A call that has its place from now on, to be put on a line and begun within the block.

        Leaving the block by whatever exception, or without having begun the call, ends it: the block's own exception
        goes on to the caller. A call that was begun lives on behind the block, until `Call.end`.

        Args:
            beginning: the conversation that it goes on with; a new one if not given.
            client: who asks (`server.http.rate_limits.client_of`); None where nobody counts them.
            identity: of a call that another process has begun.
            options: fields of `CallOptions` that differ from the defaults; None values do not.

        Raises:
            CallsFullError: the server is full or going down, or the client has too many calls half open.
        """
        call = self._admit(beginning or Beginning(), client, identity, options)
        try:
            yield call
        except BaseException:
            await call.end("failed")
            raise
        if not call.has_begun:
            await call.end("failed")

    def check(self, client: str | None) -> Call | None:
        """Whether a client may begin a call now, before anything is made for it.

        Returns:
            the half-open call of another client that has to make room for it; None where there is room.

        Raises:
            CallsFullError: as `reserve`.
        """
        if self.draining:
            raise DrainingError
        if client is not None and self._lines.too_many(client):
            self.metrics.call_refused()
            raise HalfOpenError(f"{self._lines.most} calls of yours are not connected yet")
        if self._lines.taken(self._calls.values()) < (capacity := self.capacity):
            return None
        yielding = self._lines.yielding(client)
        if yielding is None:
            self.metrics.call_refused()
            log.info("call refused", active=len(self._calls), capacity=capacity)
            raise CallsFullError("The only line is busy" if capacity == 1 else f"All {capacity} lines are busy")
        return yielding

    def _admit(
        self, beginning: Beginning, client: str | None, identity: CallIdentity | None, options: dict[str, Any]
    ) -> Call:
        """Make a call that counts before anything is awaited, so that many at once cannot pass the bound."""
        yielding = self.check(client)
        if yielding is not None:
            log.warning("half-open call makes room", call_id=yielding.id)
            yielding.end_soon("displaced")
        given = {name: value for name, value in options.items() if value is not None}
        given["conversation_id"] = beginning.conversation_id
        given.setdefault("tools", self._defaults.tools.now())
        call = Call(self, replace(self.defaults, **given), beginning, identity)
        self._calls[call.id] = call
        if client is not None:
            self._lines.enter(call, client)
        self._empty.clear()
        return call

    def begun(self, call: Call) -> None:
        """See `CallHost`."""
        self.total += 1
        self.metrics.call_opened()
        if self._webhooks is not None:
            self._webhooks.begun(call)

    def heard(self, call: Call, event: CallEvent) -> None:
        """See `CallHost`."""
        self.metrics.call_event(event)
        if self._webhooks is not None:
            self._webhooks.add(call, event)

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

    def forget(self, call: Call) -> None:
        """See `CallHost`."""
        self._calls.pop(call.id, None)
        self._lines.leave(call)
        if call.has_begun:
            self._past.update(call.counts)
            self.messages += call.record.messages
            self.metrics.call_ended(call.ended_reason or "", call.record.seconds())
        if self._webhooks is not None:
            self._webhooks.ended(call)
        if not self._calls:
            self._empty.set()

    def _owned_peers(self) -> set[WebRtcPeer]:
        return {peer for call in self._calls.values() for peer in call.peers}

    def spawn(self, work: Any) -> None:
        """Run something that nobody waits for, and keep hold of it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)

    async def drain(self, patience_s: float) -> None:
        """Take no more calls, tell the open ones, and bring them to an end that nobody is cut off by (`Drain`).

        Args:
            patience_s: after so long calls may be left that have not ended; none where this is 0.
        """
        began, self.draining = time.monotonic(), True
        drain = Drain(began, patience_s)
        for call in self.active:
            call.announce_shutdown(patience_s)
        while self._calls and not self._hurried.is_set() and time.monotonic() < drain.until:
            left = [call for call in self.active if call.ended_reason is None]
            for call_id, step in drain.steps(left, time.monotonic()):
                self._apply(self._calls[call_id], step, drain)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_LOOK_S):
                    await self._empty.wait()
        log.info("drained", seconds=round(time.monotonic() - began, 1), calls_left=len(self._calls))

    def _apply(self, call: Call, step: Step, drain: Drain) -> None:
        match step:
            case Step.END:
                self._end_for_good(call)
            case Step.SAY_GOODBYE:
                call.actor.post(SayPhrase("shutdown_prompt"))
            case Step.END_REPLY:
                call.actor.post(EndReply(drain.word_from))

    def _end_for_good(self, call: Call) -> "asyncio.Task[None]":
        """End a call because this process goes; the next one may go on with it."""
        if call.resumable and call.has_begun and call.ended_reason is None:
            try:
                self.handed_over.give(HandedCall.of(call.id, call.resume_token, call.options))
            except Exception as error:  # the next process does not have it then; the other calls are still to be ended
                log.error("call not handed over", call_id=call.id, exc_info=error)
        return call.end_soon("shutdown")

    def hurry(self) -> None:
        """Have `drain` wait no longer."""
        self._hurried.set()

    async def close(self) -> None:
        """End all calls."""
        self.draining = True
        await asyncio.gather(*(self._end_for_good(call) for call in self.active), return_exceptions=True)
        await self._sweep.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
