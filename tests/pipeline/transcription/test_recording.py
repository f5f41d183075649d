"""Recordings in which the language changes: real speech through the real models, and a scripted engine for the rest."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

from pipeline.audio import HEARING_RATE, Pcm, Waveform, to_pcm
from pipeline.engines.protocols import SpeechToText, Transcript
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Lane, Ticket
from pipeline.transcription.recording import RecordingTranscription
from pipeline.transcription.segments import Segment
from tests.conftest import lacking
from tests.pipeline.engines.speech import model


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(model("silero-vad-v6"))


@pytest.fixture(scope="module")
def stt() -> Iterator[FasterWhisper]:
    whisper = FasterWhisper(model("whisper-base"))
    yield whisper
    whisper.lane.close()


def clips(folder: Path, *names: str, pause_s: float = 0.6) -> Pcm:
    """Clips one after the other, with a pause between them."""
    parts: list[Waveform] = []
    for name in names:
        path = folder / "dev" / name
        if not path.is_file():
            lacking(f"There is no {name} in {path.parent}.")
        parts += [soundfile.read(path, dtype="float32")[0], np.zeros(int(pause_s * HEARING_RATE), np.float32)]
    return to_pcm(np.concatenate(parts))


async def transcribed(
    pcm: Pcm, stt: SpeechToText, vad: SileroVad, language: str | None = None, expected: str | None = None
) -> RecordingTranscription:
    """A recording, transcribed."""

    async def pieces() -> AsyncIterator[Pcm]:
        for start in range(0, len(pcm), 10 * HEARING_RATE):
            yield pcm[start : start + 10 * HEARING_RATE]

    lane = Lane("uploads")
    try:
        work = RecordingTranscription(stt, vad, lane, Ticket(), language=language, expected=expected)
        assert [segment async for segment in work.run(pieces())] == work.segments
    finally:
        await lane.aclose()
    return work


def languages(segments: list[Segment]) -> list[str]:
    """The languages in the order in which they come."""
    found: list[str] = []
    for segment in segments:
        if found[-1:] != [segment.language]:
            found.append(segment.language)
    return found


async def test_english_and_then_german_are_both_written_in_their_own_language(
    shared_audio: Path, stt: FasterWhisper, vad: SileroVad
) -> None:
    english = "libri_1995-1837-0001.flac"
    pcm = clips(shared_audio, english, "watson_de-de_narrowbandmodel_sample1.flac")
    work = await transcribed(pcm, stt, vad)
    assert languages(work.segments) == ["en", "de"]
    seconds = soundfile.info(shared_audio / "dev" / english).duration
    assert {segment.language for segment in work.segments if segment.start < seconds} == {"en"}
    german = " ".join(segment.text for segment in work.segments if segment.language == "de").lower()
    assert "die augen" in german
    assert " the " not in german
    assert work.language == "de"


async def test_languages_that_alternate_within_one_window_are_told_apart(
    shared_audio: Path, stt: FasterWhisper, vad: SileroVad
) -> None:
    names = "leopard_de.flac", "libri_1995-1837-0001.flac", "leopard_fr.flac"
    work = await transcribed(clips(shared_audio, *names, pause_s=0.2), stt, vad)
    assert languages(work.segments) == ["de", "en", "fr"]


async def test_a_language_that_was_asked_for_is_that_of_all(
    shared_audio: Path, stt: FasterWhisper, vad: SileroVad
) -> None:
    work = await transcribed(clips(shared_audio, "leopard_de.flac"), stt, vad, language="de")
    assert languages(work.segments) == ["de"]


@dataclass
class Scripted:
    """Hears one language after the other, and goes on in the language of the prompt as Whisper does."""

    hears: list[str]
    said: str = "Some words that were said."
    asked: list[tuple[str | None, str | None, str]] = field(default_factory=list)
    name: str = "scripted"
    kind: Literal["in-process", "remote"] = "in-process"
    model: str = "scripted"

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
        self.asked.append((language, prior, prompt))
        seconds = audio.size / HEARING_RATE
        return Transcript(self.said, language or self.hears.pop(0), confidence=0.9, duration=seconds)

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_part_in_another_language_is_heard_again_without_the_prompt(shared_audio: Path, vad: SileroVad) -> None:
    """With it, what is written may be a translation."""
    engine = Scripted(["en", "de"])
    names = "libri_1995-1837-0001.flac", "leopard_de.flac"
    await transcribed(clips(shared_audio, *names, pause_s=2.0), engine, vad, expected="en")
    assert engine.asked[0] == (None, "en", "")
    assert ("de", None, "") in engine.asked


async def test_what_is_expected_is_told_to_the_engine_and_then_what_was_heard(
    shared_audio: Path, vad: SileroVad
) -> None:
    engine = Scripted(["de"] * 9)
    await transcribed(clips(shared_audio, "leopard_de.flac", "leopard_de.flac", pause_s=2.0), engine, vad, None, "fr")
    assert [prior for _, prior, _ in engine.asked] == ["fr", "de"]


async def test_speech_whose_words_cannot_be_made_out_is_told(shared_audio: Path, vad: SileroVad) -> None:
    speech = clips(shared_audio, "leopard_de.flac")
    assert (await transcribed(speech, Scripted(["de"] * 9, said=""), vad)).unclear
    assert not (await transcribed(speech, Scripted(["de"] * 9), vad)).unclear


@pytest.mark.parametrize(
    "name", ["cough", "baby", "car-horn", "dog-bark", "engine", "kitchen", "music", "office", "phone-ring", "siren"]
)
async def test_noise_is_no_unclear_speech(shared_audio: Path, vad: SileroVad, name: str) -> None:
    work = await transcribed(clips(shared_audio, f"noise_{name}.flac"), Scripted(["en"] * 99, said=""), vad)
    assert not work.unclear
