"""Streams of real speech through the real voice activity model and the real Whisper."""

import numpy as np
import pytest

from pipeline.audio import to_pcm
from pipeline.engines.protocols import Transcript
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Ticket
from pipeline.transcription.live import LiveTranscription
from tests.pipeline.engines.speech import clip, model


@pytest.fixture(scope="module")
def stt() -> FasterWhisper:
    return FasterWhisper(model("whisper-base"))


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(model("silero-vad-v6"))


async def work_off(live: LiveTranscription, stt: FasterWhisper, now: float) -> None:
    while (work := live.next_work(now)) is not None:
        transcript = await stt.transcribe(work.audio, Ticket(), language=work.language, prompt=work.prompt)
        live.settle(work, transcript, now + 0.1)


async def test_words_are_confirmed_while_they_are_spoken_and_final_after_a_pause(
    stt: FasterWhisper, vad: SileroVad
) -> None:
    live = LiveTranscription(vad.open_stream())
    speech = to_pcm(np.concatenate((clip("weather.wav"), np.zeros(24_000, np.float32))))
    seen = []
    for step, start in enumerate(range(0, speech.size, 8_000)):
        live.hear(speech[start : start + 8_000])
        await work_off(live, stt, step * 0.5)
        seen.append((live.stable, len(live.segments)))
    assert any(text.startswith("What is") and not final for text, final in seen)
    assert live.settled
    assert [segment.text for segment in live.segments] == ["What is the weather in Paris?"]


def test_doubted_words_are_not_shown_however_often_they_come(vad: SileroVad) -> None:
    live = LiveTranscription(vad.open_stream())
    speech = to_pcm(clip("jfk.flac"))
    said = "And so, my fellow Americans,"
    shown = []
    for step, (text, doubted) in enumerate([(f"{said} {said}", True), (f"{said} {said}", True), (said, False)]):
        live.hear(speech[step * 16_000 : (step + 1) * 16_000])
        work = live.next_work(float(step))
        assert work is not None
        assert work.kind == "interim"
        live.settle(work, Transcript(text, "en", duration=3.0, doubted=doubted), step + 0.1)
        shown.append((live.stable, live.unstable))
    assert shown == [("", ""), ("", ""), ("", said)]


async def test_silence_and_noise_are_never_transcribed(stt: FasterWhisper, vad: SileroVad) -> None:
    live = LiveTranscription(vad.open_stream())
    noise = np.random.default_rng(1).normal(0, 0.003, 5 * 16_000).astype(np.float32)
    live.hear(to_pcm(np.concatenate((noise, np.zeros(16_000, np.float32)))))
    live.finish()
    assert live.next_work(0.0) is None
    assert live.stable == ""


def test_a_long_silence_takes_no_more_memory_than_a_short_one(vad: SileroVad) -> None:
    live = LiveTranscription(vad.open_stream())
    live.hear(np.zeros(16_000, np.int16))
    begun = live.memory
    for _ in range(4):
        live.hear(np.zeros(30 * 16_000, np.int16))
    assert live.memory == begun
    live.hear(to_pcm(np.tile(clip("jfk.flac"), 2)[: 20 * 16_000]))
    assert live.memory > begun, "speech is kept until it is text"


async def test_a_stream_that_is_taken_up_again_gives_every_word_once(stt: FasterWhisper, vad: SileroVad) -> None:
    speech = to_pcm(clip("jfk.flac"))
    first = LiveTranscription(vad.open_stream())
    first.hear(speech[: 6 * 16_000])
    await work_off(first, stt, 0.0)
    needed = first.needed_from
    assert 0 < needed < 6 * 16_000
    second = LiveTranscription(vad.open_stream(), begins_at=needed, past=first.segments)
    second.hear(speech[needed:])
    second.finish()
    await work_off(second, stt, 0.0)
    words = " ".join(segment.text for segment in second.segments).lower()
    assert words.count("fellow americans") == words.count("ask what you can do") == 1
    assert words.endswith("for your country.")
    assert second.segments[-1].end > 10
