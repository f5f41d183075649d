"""Kokoro with its real weights: what it says is heard, and its words are where it says."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soxr

from pipeline.audio import HEARING_RATE, SPEECH_RATE, to_waveform
from pipeline.engines.protocols import EngineUnavailableError, SpeechChunk
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.tts.kokoro import Kokoro
from pipeline.engines.tts.piper import Piper
from pipeline.engines.tts.several_voices import SeveralVoices
from pipeline.scheduling.lanes import Ticket
from tests.pipeline.engines.speech import model

TEXT = "The weather in Paris is sunny."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kokoro() -> AsyncIterator[Kokoro]:
    engine = Kokoro(model("kokoro-82m"))
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def said(kokoro: Kokoro) -> SpeechChunk:
    chunks = [chunk async for chunk in kokoro.synthesize(TEXT, Ticket(), voice="jf_alpha")]
    assert len(chunks) == 1
    return chunks[0]


@pytest.mark.asyncio(loop_scope="module")
async def test_whisper_hears_the_words_where_kokoro_says_they_are(said: SpeechChunk) -> None:
    whisper = FasterWhisper(model("whisper-base"))
    audio = np.asarray(soxr.resample(to_waveform(said.pcm), SPEECH_RATE, HEARING_RATE), np.float32)
    try:
        heard = await whisper.transcribe(audio, Ticket(), language="en", word_timestamps=True)
    finally:
        await whisper.close()
    assert heard.text == TEXT
    assert [word.text for word in said.words] == TEXT.split()
    for told, found in zip(said.words, heard.words, strict=True):
        assert abs(told.start + told.end - found.start - found.end) / 2 < 0.25, (told, found)
    assert said.words[-1].end <= len(said.pcm) / SPEECH_RATE


@pytest.mark.asyncio(loop_scope="module")
async def test_double_speed_takes_about_half_the_time(kokoro: Kokoro, said: SpeechChunk) -> None:
    quick = [chunk async for chunk in kokoro.synthesize(TEXT, Ticket(), voice="jf_alpha", speed=2.0)]
    assert 0.4 < quick[0].pcm.size / said.pcm.size < 0.65


@pytest.mark.asyncio(loop_scope="module")
async def test_voices_of_two_engines_are_asked_for_by_id(kokoro: Kokoro) -> None:
    piper = Piper(model("piper-en_US-joe-medium"))
    try:
        voices = SeveralVoices(piper, kokoro)
        assert voices.default_voice == "en_US-joe-medium"
        assert {"en_US-joe-medium", "jf_alpha", "jm_kumo"} <= {voice.id for voice in voices.voices}
        before = (piper.lane.load.done, kokoro.lane.load.done)
        for voice in (None, "jm_kumo"):
            assert [chunk async for chunk in voices.synthesize("Yes.", Ticket(), voice=voice)]
        assert (piper.lane.load.done, kokoro.lane.load.done) == (before[0] + 1, before[1] + 1)
        with pytest.raises(ValueError, match="jm_kumo"):
            voices.synthesize("Yes.", Ticket(), voice="bob")
    finally:
        await piper.close()


def test_a_folder_without_voices_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text('{"vocab": {"a": 1}}')
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        Kokoro(tmp_path)
