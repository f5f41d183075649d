"""A call whose own code raises: nothing climbs out of its actor, its caller is told, and it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from media.playout import Playout
from pipeline.audio import SPEECH_RATE
from pipeline.call.actor import BROKEN, CallActor
from pipeline.call.context import Context
from pipeline.call.effects import Recall, RunTool
from pipeline.call.events import CallEnded, CallEvent, CallFault, StateChanged
from pipeline.call.inputs import AudioHeard, Connected, Tick, UserTyped
from pipeline.call.options import CallOptions
from pipeline.call.reply import last_words
from pipeline.call.state import State
from pipeline.engines.protocols import AbsentEngine, Engines, SpeechChunk, ToolCall, Voice
from pipeline.scheduling.lanes import Ticket
from pipeline.text.phrases import FAREWELLS
from tests.media.calls import until

SOUND = np.full(320, 3000, np.int16)


class Ears:
    """Hears no voice, or fails."""

    def __init__(self) -> None:
        self.fails = False

    def open_stream(self) -> "Ears":
        return self

    def probability(self, window: Any) -> float:
        if self.fails:
            raise RuntimeError("these ears are broken")
        return 0.0

    def reset(self) -> None: ...


class Mouth:
    """Says everything in a tenth of a second, or fails, or never gets to it."""

    voices = (Voice("one", "One", "en", "test"),)
    default_voice = "one"

    def __init__(self) -> None:
        self.said: list[str] = []
        self.voices_asked: list[str | None] = []
        self.fails = self.hangs = False

    async def synthesize(
        self, text: str, ticket: Ticket, voice: str | None = None, **_: Any
    ) -> AsyncIterator[SpeechChunk]:
        self.voices_asked.append(voice)
        if self.fails:
            raise RuntimeError("this mouth is broken")
        if self.hangs:
            await asyncio.Event().wait()
        self.said.append(text)
        yield SpeechChunk(np.full(SPEECH_RATE // 10, 3000, np.int16))


class Talk:
    """A call that stands, and what it told; its playout is read as fast as the loop allows."""

    def __init__(self, **options: Any) -> None:
        self.ears, self.mouth, self.playout = Ears(), Mouth(), Playout()
        self.events: list[CallEvent] = []
        self.listener: Callable[[CallEvent], None] = self.events.append
        absent: dict[str, Any] = {role: AbsentEngine(role) for role in ("turn", "stt", "llm")}
        engines = Engines(vad=self.ears, tts=self.mouth, **absent)  # type: ignore[arg-type]
        context = Context("You are Morgan.", "")
        self.actor = CallActor(CallOptions(**options), engines, self.playout, context, lambda e: self.listener(e))
        self._plays = asyncio.create_task(self._play())

    async def _play(self) -> None:
        while True:
            self.playout.next_frame(0.0)
            await asyncio.sleep(0.001)

    async def ended(self) -> None:
        await until(lambda: self.actor.state is State.ENDED)

    async def close(self, reason: str = "hangup") -> None:
        await self.actor.close(reason)
        self._plays.cancel()

    def told(self) -> list[str]:
        """Faults, states and the end, in order."""
        words = []
        for event in self.events:
            match event:
                case CallFault():
                    words.append(f"fault {event.code}")
                case StateChanged():
                    words.append(event.state.value)
                case CallEnded():
                    words.append(f"ended {event.reason}")
        return words


TOLD = ["listening", f"fault {BROKEN}", "speaking", "ended", f"ended {BROKEN}"]


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk()
    talk.actor.post(Connected())
    yield talk
    await talk.close()


def broken(*_: Any) -> Any:
    raise RuntimeError("this machine is broken")


async def test_what_an_input_breaks_is_told_apologised_for_and_ended(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(UserTyped("hello"))
    assert talk.actor.state is State.SPEAKING
    await talk.ended()
    assert talk.told() == TOLD
    assert " ".join(talk.mouth.said).startswith("Sorry, something went wrong on my side")
    assert talk.playout.position == talk.playout.written > 0
    talk.actor.post(Tick())
    assert talk.told() == TOLD


async def test_ears_that_fail_end_the_call_the_same_way(talk: Talk) -> None:
    talk.ears.fails = True
    for index in range(4):
        talk.actor.post(AudioHeard(SOUND, index * 0.02))
    await talk.ended()
    assert talk.told() == TOLD


@pytest.mark.parametrize(
    "effect",
    [RunTool("resp_1", "resp_1", 1, ToolCall("1", "nothing", "{}")), Recall(1, "turn", "words")],
    ids=["tool", "recall"],
)
async def test_work_that_fails_where_nobody_catches_it_ends_the_call_the_same_way(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, effect: Any
) -> None:
    monkeypatch.setattr(talk.actor._work, "_run_tool", failing)
    monkeypatch.setattr(talk.actor._work, "_recall", failing)
    monkeypatch.setattr(talk.actor.machine, "handle", lambda *_: [effect])
    talk.actor.post(Tick())
    await talk.ended()
    assert talk.told() == TOLD


async def failing(_: Any) -> None:
    raise RuntimeError("this work is broken")


async def test_a_listener_that_fails_at_every_event_does_not_keep_the_call_alive(talk: Talk) -> None:
    talk.listener = broken
    talk.actor.post(UserTyped("hello"))
    await talk.ended()


@pytest.mark.parametrize("fault", ["voice fails", "voice hangs", "speaker fails"])
async def test_a_call_that_cannot_even_say_sorry_ends_all_the_same(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(last_words, "LONGEST_S", 0.2)
    talk.mouth.fails, talk.mouth.hangs = fault == "voice fails", fault == "voice hangs"
    if fault == "speaker fails":
        monkeypatch.setattr(talk.playout, "flush", broken)
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(Tick())
    await talk.ended()
    assert talk.told() == TOLD


async def test_last_words_take_the_place_of_what_was_being_said_even_where_that_was_held(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.playout.write(np.full(SPEECH_RATE * 60, 3000, np.int16))
    talk.playout.pause()
    talk.playout.duck(0.1)
    await asyncio.sleep(0.01)
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(Tick())
    await talk.ended()
    assert talk.playout.position < SPEECH_RATE * 5


async def test_a_call_that_breaks_before_it_is_connected_ends_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(Connected())
    assert talk.told() == [f"fault {BROKEN}", "ended", f"ended {BROKEN}"]
    assert talk.mouth.said == []
    await talk.close()


async def test_the_last_words_are_in_the_language_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mouth, "voices", (*Mouth.voices, Voice("eva", "Eva", "de_DE", "test")))
    talk = Talk(language="de")
    talk.actor.post(Connected())
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(Tick())
    await talk.ended()
    assert " ".join(talk.mouth.said) == FAREWELLS["de"]
    assert set(talk.mouth.voices_asked) == {"eva"}
    await talk.close()


async def test_hanging_up_ends_the_last_words(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.mouth.hangs = True
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(Tick())
    await asyncio.sleep(0)
    await talk.actor.close("hangup")
    assert talk.told() == [*TOLD[:-1], "ended hangup"]


async def test_a_call_that_breaks_as_it_is_hung_up_does_not_stay_to_talk(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    await talk.actor.close("hangup")
    assert talk.actor.state is State.ENDED
    assert talk.mouth.said == []


async def test_a_call_without_a_farewell_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(farewell="")
    talk.actor.post(Connected())
    monkeypatch.setattr(talk.actor.machine, "handle", broken)
    talk.actor.post(Tick())
    await talk.ended()
    assert talk.mouth.said == []
    await talk.close()
