"""Real sound in a call whose speech to text makes nothing of anything: only people are told so."""

from pathlib import Path
from typing import Literal

import pytest

from bench.turns import play
from pipeline.audio import HEARING_RATE, Waveform
from pipeline.call.events import ReplyDone
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import Transcript
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Ticket
from pipeline.text.phrases import UNCLEAR
from server.testing.recorded_call import RecordedCall, Recording, read_recording
from tests.conftest import lacking
from tests.pipeline.engines.speech import model


class Deaf:
    """Speech to text that answers with no words, as engines do that are out of their depth."""

    name = "deaf"
    kind: Literal["in-process", "remote"] = "in-process"
    model = "deaf"

    async def transcribe(
        self,
        audio: Waveform,
        ticket: Ticket,
        *,
        language: str | None = None,
        prior: str | None = None,
        prompt: str = "",
        word_timestamps: bool = False,
        **_: object,
    ) -> Transcript:
        return Transcript("", "en", 0.1, 0.9, audio.size / HEARING_RATE)

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...


def called(path: Path) -> RecordedCall:
    """A call in which nothing but a recording is heard."""
    if not path.is_file():
        lacking(f"There is no {path.name} in {path.parent}.")
    vad, turn = SileroVad(model("silero-vad-v6")), SmartTurn(model("smart-turn-v3.2"))
    try:
        with Recording(read_recording(path), vad, turn, Deaf()) as recording:
            return play(recording, CallOptions(interim=False))
    finally:
        turn.lane.close()


def said(call: RecordedCall) -> list[str]:
    """What Morgan said."""
    return [event.text for event in call.all(ReplyDone) if event.status == "completed"]


@pytest.mark.parametrize("name", ["az_whats_the_weather_like", "coffee_01_7e9ed6f3", "word_yes_tflm", "digit_1_george"])
def test_who_spoke_is_told(name: str, shared_audio: Path) -> None:
    assert said(called(shared_audio / "dev" / f"{name}.flac")) == [UNCLEAR["en"]]


@pytest.mark.parametrize("name", ["babble", "music", "office", "kitchen", "cough", "baby"])
def test_noise_is_left_unanswered(name: str, shared_audio: Path) -> None:
    assert said(called(shared_audio / "dev" / f"noise_{name}.flac")) == []


@pytest.mark.parametrize("name", ["ami_dev00_20s", "two_cities"])
def test_people_who_go_on_talking_are_told_twice_at_most(name: str, shared_audio: Path) -> None:
    begun = called(shared_audio / "dev" / f"{name}.flac").all(ReplyDone)
    assert 1 <= len(begun) <= 2
