"""A call in which Morgan is asked for a story, and what the caller hears and is told of it."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import aiohttp
import numpy as np

from bench.voice_to_voice import CLIPS, Clip
from media.values import Pcm
from server.cli.call import RATE, read_audio
from server.client.caller import Caller, CallFailedError
from server.client.caller_audio import AUDIBLE_DBFS

INSTRUCTIONS = "You are Morgan. You tell long stories with many details, in many sentences."
"""Asked for more than the rules of spoken answers allow, small models talk for half a minute."""

LOUD_SHARE = 0.75
"""A packet is as loud as the reply when it is louder than this share of its packets less half of the duck of 12 dB."""

DUCK_DB = 12.0

SETTLE_S = 1.0


@dataclass(slots=True)
class Gap:
    """The silence before one reply.

    Attributes:
        heard_s: from the last sample of the question sent to the first audible packet received.
        told_s: by the server's account.
        stages_s: the sum of the stages in it.
    """

    heard_s: float
    told_s: float | None = None
    stages_s: float | None = None


@dataclass(slots=True)
class Reply:
    """One reply to a question; all times are `time.monotonic()` at the caller.

    Attributes:
        reply_id: of the response.
        item_id: of its message.
        turn_id: of the user's turn that it answers.
        committed: the server told that the turn was over.
        began: first audible packet.
        cleared: the server told that it gave the reply up.
        over: the server told that it is done with the reply.
        status: of the response.
        merged: the interruption went on with the turn that the reply answers.
        text: all words that were written for it.
        heard: those that the server says were heard.
    """

    reply_id: str
    item_id: str
    turn_id: str
    committed: float
    began: float
    cleared: float | None = None
    over: float | None = None
    status: str = ""
    merged: bool = False
    text: str = ""
    heard: str = ""


@dataclass(slots=True)
class LongReply:
    """Use: `async with LongReply(http, url) as call: reply = await call.ask()`.

    Args:
        http: a session.
        url: of the server.
        noise: of the microphone, standard deviation in 16-bit steps.
        leak_db, leak_s: an echo in the microphone, see `Caller`.
    """

    http: aiohttp.ClientSession
    url: str
    noise: float = 4.0
    leak_db: float | None = None
    leak_s: float = 0.06
    caller: Caller = field(init=False)
    question: Clip = field(init=False)
    gaps: list[Gap] = field(default_factory=list)
    call_id: str = ""
    conversation_id: str = ""

    async def __aenter__(self) -> Self:
        self.question = Clip(read_audio(CLIPS / "order.wav"))
        self.caller = Caller(noise=self.noise, leak_db=self.leak_db, leak_s=self.leak_s)
        body = {"sdp": await self.caller.offer(), "type": "offer", "user_id": "bench", "instructions": INSTRUCTIONS}
        async with self.http.post(f"{self.url}/api/calls", json=body) as response:
            opened = await response.json()
            if response.status != 201:
                await self.caller.close()
                raise CallFailedError(f"the call was refused: {opened}")
        self.call_id, self.conversation_id = opened["call_id"], opened["conversation_id"]
        try:
            await self.caller.accept(opened["sdp"])
            await self.caller.channel_open()
        except CallFailedError:
            await self.caller.close()
            raise
        await asyncio.sleep(SETTLE_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self.http.delete(f"{self.url}/api/calls/{self.call_id}"):
            pass
        await self.caller.close()

    async def ask(self) -> Reply:
        """Ask for the story; returns when it begins to sound.

        Raises:
            CallFailedError: no answer came.
        """
        said = await self.caller.say(self.question.pcm, RATE)
        end = said.last - self.question.tail_s
        began = await self.caller.wait_for_sound(end, 20)
        await self.caller.wait_for_message(lambda text: '"output_audio_buffer.started"' in text)
        started = self._last("output_audio_buffer.started")
        created = next(
            event
            for _, event in self.events("response.output_item.added")
            if event["response_id"] == started["response_id"]
        )
        committed_at, committed = self.events("input_audio_buffer.committed")[-1]
        reply = Reply(started["response_id"], created["item"]["id"], committed["item_id"], committed_at, began)
        gap = Gap(began - end)
        for _, event in self.events("morgan.latency"):
            if event["item_id"] == reply.turn_id:
                gap.told_s = event["voice_to_voice_ms"] / 1000
                gap.stages_s = sum(event["stages"].values()) / 1000
        self.gaps.append(gap)
        return reply

    # What the server tells --------------------------------------------------------------------------------------------

    def events(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        """All events of a type so far, with their arrival."""
        every = ((at, json.loads(text)) for at, text in self.caller.messages if f'"{kind}"' in text)
        return [(at, event) for at, event in every if event["type"] == kind]

    def _last(self, kind: str) -> dict[str, Any]:
        return self.events(kind)[-1][1]

    def read(self, reply: Reply) -> None:
        """Bring a reply up to date with the events so far."""
        deltas = [event for _, event in self.events("response.output_audio_transcript.delta")]
        reply.text = "".join(event["delta"] for event in deltas if event["item_id"] == reply.item_id)
        for at, event in self.events("output_audio_buffer.cleared"):
            if event["response_id"] == reply.reply_id:
                reply.cleared = at
        for at, event in self.events("response.done"):
            if event["response"]["id"] == reply.reply_id:
                reply.over, reply.status = at, event["response"]["status"]
        for _, event in self.events("conversation.item.truncated"):
            if event["item_id"] == reply.item_id:
                reply.heard = event["transcript"]
        spoke = [
            at for at, event in self.events("input_audio_buffer.speech_started") if event["item_id"] == reply.turn_id
        ]
        reply.merged = bool(spoke) and spoke[-1] > reply.began

    def understood(self, since: float) -> str:
        """The first words that the server told to have understood since a monotonic instant."""
        heard = self.events("conversation.item.input_audio_transcription.completed")
        return next((str(event["transcript"]) for at, event in heard if at > since), "")

    async def counts(self) -> Counter[str]:
        """The call's counters, `GET /api/calls/{id}`."""
        async with self.http.get(f"{self.url}/api/calls/{self.call_id}") as response:
            described = await response.json()
        return Counter(described["counts"])

    async def kept_of_interrupted(self) -> str | None:
        """The words that the conversation keeps of its first interrupted reply, None when it keeps none."""
        path = f"{self.url}/api/conversations/{self.conversation_id}/messages"
        async with self.http.get(path) as response:
            messages = (await response.json())["messages"]
        return next((message["content"] for message in messages if message["interrupted"]), None)

    # What is heard ----------------------------------------------------------------------------------------------------

    async def until(self, at: float) -> None:
        """Sleep until a monotonic instant."""
        await asyncio.sleep(max(0.0, at - time.monotonic()))

    async def until_heard(self, reply: Reply, seconds: float, timeout: float = 90.0) -> None:
        """Wait until so much sound of a reply was heard, however slowly it comes, or until it is over.

        Raises:
            CallFailedError: neither comes.
        """
        limit = time.monotonic() + timeout
        while reply.over is None and self.heard_s(reply.began) < seconds:
            if time.monotonic() > limit:
                raise CallFailedError(f"of the reply {self.heard_s(reply.began):.1f} s were heard in {timeout:.0f} s")
            await asyncio.sleep(0.1)
            self.read(reply)

    def heard_s(self, since: float) -> float:
        """Seconds of audible packets since an instant."""
        return sum(packet.dbfs > AUDIBLE_DBFS and packet.at >= since for packet in self.caller.packets) * 0.02

    async def until_over(self, reply: Reply, timeout: float = 90.0) -> None:
        """Wait for the end of a reply, in the server's words and in sound.

        Raises:
            CallFailedError: it does not end.
        """
        await self.caller.wait_for_message(
            lambda text: '"response.done"' in text and f'"{reply.reply_id}"' in text, timeout
        )
        await asyncio.sleep(0.3)
        self.read(reply)

    def sounding(self, within_s: float = 1.0) -> bool:
        """Whether something was heard a moment ago."""
        last = self.caller.silent_since()
        return last is not None and time.monotonic() - last < within_s

    def stall_s(self) -> float:
        """The longest pause between the arrivals of two packets; a server sends one every 20 ms, silence included."""
        arrivals = [packet.at for packet in self.caller.packets]
        return max((later - earlier for earlier, later in pairwise(arrivals)), default=0.0)

    def last_sound(self, before: float | None) -> float:
        """End of the last audible packet, or of the last before an instant."""
        audible = [p.at for p in self.caller.packets if p.dbfs > AUDIBLE_DBFS and (before is None or p.at < before)]
        return audible[-1] + 0.02

    def last_loud(self, begin: float, until: float) -> float:
        """End of the last packet between two instants that is as loud as the reply was before; `begin` if none is.

        Speech has quiet moments of its own, so that this can be up to a syllable early.
        """
        before = [p.dbfs for p in self.caller.packets if begin - 3 < p.at < begin and p.dbfs > AUDIBLE_DBFS]
        if not before:
            return begin
        threshold = float(np.quantile(before, LOUD_SHARE)) - DUCK_DB / 2
        return max(
            (p.at + 0.02 for p in self.caller.packets if begin < p.at < until and p.dbfs > threshold), default=begin
        )

    def sound(self, begin: float, until: float) -> Pcm:
        """What was heard between two instants, 48 kHz, shape (n,)."""
        packets = [p for p in self.caller.packets if begin <= p.at < until]
        if not packets:
            return np.zeros(0, np.int16)
        line = np.zeros(packets[-1].position + len(packets[-1].pcm) - packets[0].position, np.int16)
        for packet in packets:
            start = packet.position - packets[0].position
            line[start : start + len(packet.pcm)] = packet.pcm
        return line
