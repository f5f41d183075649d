"""Engines that hang in mid-call, over WebRTC: the caller is told, health tells, and the next turn works."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.call.usual_time import UsualTime
from pipeline.engines.protocols import SpeechChunk, Transcript
from pipeline.scheduling.lanes import Ticket
from pipeline.text.phrases import APOLOGIES, DELAYS
from server.app import Server
from server.client.caller import Caller
from server.client.caller_audio import RATE
from server.settings import Settings
from server.speech.clauses import clauses
from tests.server.scripted import REPLY, Ears, Voicebox, ask, events, place, scripted_engines
from tests.serving import free_port

QUESTION = "What is the weather in Paris?"
TONE = (np.sin(np.arange(RATE) * 2 * np.pi * 300 / RATE) * 12_000).astype(np.int16)
GIVEN_UP_AFTER_S = 1.5


class HangingEars(Ears):
    """Hear a question in everything loud, or nothing ever while they hang.

    Attributes:
        hangs: the next transcriptions do.
        waiting: those that do now.
    """

    def __init__(self) -> None:
        self.hangs, self.waiting = False, 0

    def open_stream(self) -> "HangingEars":
        return self

    def probability(self, window: Waveform) -> float:
        return 0.95 if float(np.abs(window).max()) > 0.05 else 0.0

    async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
        if self.hangs:
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1
        return Transcript(QUESTION, "en", 0.0, 0.9, audio.size / HEARING_RATE)


class HangingVoice(Voicebox):
    """Says everything, or begins everything and never goes on.

    Attributes:
        hangs: the next clauses do.
        begins: they do so behind a first word.
        said: every clause that was asked of it.
        waiting: those that hang now.
    """

    def __init__(self, hangs: bool = False) -> None:
        self.hangs, self.begins, self.waiting = hangs, False, 0
        self.said: list[str] = []

    async def synthesize(self, text: str, ticket: Ticket, **options: Any) -> AsyncIterator[SpeechChunk]:
        if not self.hangs or self.begins:
            async for chunk in super().synthesize(text.split()[0] if self.hangs else text, ticket, **options):
                yield chunk
        self.said.append(text)
        if self.hangs:
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.waiting -= 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gives no sign is given up sooner, so that tests need not wait for it."""
    monkeypatch.setattr(UsualTime, "limit_s", lambda *_: GIVEN_UP_AFTER_S)


@asynccontextmanager
async def calling(
    folder: Path, ears: HangingEars, voice: HangingVoice
) -> AsyncIterator[tuple[Server, Caller, aiohttp.ClientSession]]:
    """A call to a server with these engines."""
    listening: Any = ears
    engines = replace(scripted_engines(), vad=listening, turn=listening, stt=listening, tts=voice)
    patient = {"connect_timeout_s": 60, "lost_grace_s": 60, "delay_apology_after_s": 0.3}
    settings = Settings(memory="off", max_calls=4, port=free_port(), data_dir=folder, **patient)  # type: ignore[arg-type]
    server = await Server.start(settings, engines)
    try:
        async with aiohttp.ClientSession(server.url) as http, Caller() as caller:
            await place(http, caller)
            yield server, caller, http
    finally:
        await server.stop()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def state(caller: Caller) -> str:
    """What the call is doing, as it was told last."""
    return str(([event["state"] for event in events(caller, "morgan.state")] or [""])[-1])


def replies(caller: Caller) -> list[str]:
    """The words of all replies that are over."""
    done = [event["response"] for event in events(caller, "response.done")]
    items = [response["output"][0] for response in done if response["output"]]
    return ["".join(part.get("transcript", "") for part in item["content"]) for item in items]


def faults(caller: Caller) -> list[str]:
    """Codes of all that clients were told went wrong."""
    return [event["error"]["code"] for event in events(caller, "error")]


async def health(http: aiohttp.ClientSession, engine: str) -> str:
    """What `/health` says of an engine."""
    async with http.get("/health") as response:
        return str((await response.json())["components"][engine]["status"])


async def metric(http: aiohttp.ClientSession, line: str) -> float:
    """A value of `/metrics`."""
    async with http.get("/metrics") as response:
        found = [each for each in (await response.text()).splitlines() if each.startswith(line)]
    return float(found[0].split()[-1])


@pytest.mark.timeout(180)
async def test_speech_to_text_that_hangs_is_told_of_and_given_up_and_the_next_turn_works(tmp_path: Path) -> None:
    ears = HangingEars()
    async with calling(tmp_path, ears, HangingVoice()) as (_, caller, http):
        ears.hangs = True
        await caller.say(TONE)
        await until(lambda: replies(caller) and state(caller) == "listening")
        assert replies(caller) == [f"{DELAYS['en']} {APOLOGIES['en']}"]
        assert faults(caller) == ["stt_failed"]
        assert events(caller, "conversation.item.input_audio_transcription.failed")
        assert ears.waiting == 0, "what hung is cancelled"
        assert await health(http, "stt") == "degraded"
        assert await metric(http, 'morgan_engine_up{engine="stt"}') == 0
        assert await metric(http, 'morgan_call_faults_total{code="stt_failed"}') == 1
        ears.hangs = False
        await caller.say(TONE)
        await until(lambda: len(replies(caller)) == 2)
        assert replies(caller)[-1] == REPLY
        assert await health(http, "stt") == "ok"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("begins", [False, True])
async def test_a_voice_that_hangs_is_apologised_for_with_sound_that_is_at_hand(tmp_path: Path, begins: bool) -> None:
    voice = HangingVoice()
    async with calling(tmp_path, HangingEars(), voice) as (_, caller, http):
        own = {clause for phrase in (APOLOGIES["en"], DELAYS["en"]) for clause in clauses(phrase)}
        await until(lambda: own <= set(voice.said))
        voice.hangs, voice.begins = True, begins
        before = len(voice.said)
        ask(caller)
        await until(lambda: APOLOGIES["en"] in replies(caller) and state(caller) == "listening")
        assert faults(caller)[-1] == "tts_failed"
        assert voice.waiting == 0, "what hung is cancelled"
        assert len(voice.said) - before == 1, "the apologies came from memory"
        assert await health(http, "tts") == "degraded"
        assert await metric(http, 'morgan_engine_up{engine="tts"}') == 0
        voice.hangs = False
        ask(caller)
        await until(lambda: replies(caller)[-1] == REPLY)
        assert await health(http, "tts") == "ok"


@pytest.mark.timeout(180)
async def test_a_voice_that_hangs_with_nothing_at_hand_is_told_of_and_leaves_the_floor(tmp_path: Path) -> None:
    voice = HangingVoice(hangs=True)
    async with calling(tmp_path, HangingEars(), voice) as (_, caller, http):
        await until(lambda: voice.waiting == 1)  # what is made ahead of calls
        ask(caller)
        await until(lambda: "tts_failed" in faults(caller) and state(caller) == "listening")
        assert faults(caller) == ["tts_late", "tts_failed"]
        assert voice.waiting == 1, "what hung of the call is cancelled"
        voice.hangs = False
        ask(caller)
        await until(lambda: replies(caller) and replies(caller)[-1] == REPLY)
        assert await health(http, "tts") == "ok"
