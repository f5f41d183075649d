"""Words that are doubted are heard again: real voices, through Opus, on whichever processor the tests run."""

import numpy as np
import pytest
import soxr

from media.values import SEND_RATE
from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Ticket
from pipeline.text.normalise import normalise, word_error_rate
from server.calibration.speech_clips import through_opus
from tests.pipeline.engines.speech import clip, model

# A sentence that came out two to four times over with 5 s of silence behind it, on one processor or another.
DOUBLED = {
    "turn_work_short_H.flac": "So you work on the side",
    "turn_bike_short_A.flac": None,
    "common_voice_en_22058264.flac": "No",
    "az_whats_the_weather_like.flac": None,
    "mfa_um.flac": None,
    "word_jarvis_1.flac": "Jarvis",
}


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(model("silero-vad-v6"))


@pytest.fixture(scope="module")
def stt(vad: SileroVad) -> FasterWhisper:
    return FasterWhisper(model("whisper-base"), vad=vad)


@pytest.fixture(scope="module")
def hasty(vad: SileroVad) -> FasterWhisper:
    """One whose first window is too short, as it may be on another processor."""
    return FasterWhisper(model("whisper-base"), vad=vad, padding_s=3.0)


def called(name: str) -> Waveform:
    """A clip as a call brings it."""
    pcm = np.asarray(soxr.resample(clip(f"dev/{name}"), HEARING_RATE, SEND_RATE), np.float32)
    return through_opus((np.clip(pcm, -1, 1) * 32767).astype(np.int16))


@pytest.mark.parametrize("name", list(DOUBLED))
async def test_a_sentence_is_said_once_even_by_a_window_that_is_too_short(hasty: FasterWhisper, name: str) -> None:
    hasty.window.padding_s = 3.0
    audio = called(name)
    heard = await hasty.transcribe(audio, Ticket(), language="en")
    assert heard.text
    assert not heard.doubted
    full = await hasty.hear_once(audio, Ticket(), padding_s=None, language="en")
    assert len(normalise(heard.text).split()) <= len(normalise(full.text).split()) + 2
    said = DOUBLED[name]
    if said is not None:
        assert word_error_rate(said, heard.text) <= 0.34


@pytest.mark.parametrize(
    "name", ["digits_10001-90210-01803.flac", "whisper.flac", "letter_d_evmaki.flac", "digit_2_nicolas.flac"]
)
async def test_what_was_spoken_is_not_dropped_for_the_models_doubts(stt: FasterWhisper, name: str) -> None:
    assert (await stt.transcribe(called(name), Ticket(), prior="en")).text


async def test_a_word_that_the_quick_window_hardly_hears_is_heard_on_a_longer_one(stt: FasterWhisper) -> None:
    heard = await stt.transcribe(clip("dev/digit_2_nicolas.flac"), Ticket(), prior="en")
    assert clean_transcript(heard)


@pytest.mark.parametrize("name", [f"noise_{what}.flac" for what in ("cough", "engine", "phone-ring", "babble")])
async def test_noise_is_no_loop_of_words(stt: FasterWhisper, name: str) -> None:
    heard = await stt.transcribe(called(name)[: 15 * HEARING_RATE], Ticket(), prior="en")
    assert len(heard.text.split()) <= 12


async def test_spoken_repeats_stay(stt: FasterWhisper) -> None:
    eight = called("digit_8_nicolas.flac")
    pause = np.zeros(HEARING_RATE // 5, np.float32)
    heard = await stt.transcribe(np.concatenate([eight, pause] * 4), Ticket(), language="en")
    assert 3 <= len(normalise(heard.text).split()) <= 5, heard.text


@pytest.mark.parametrize("name", ["letter_d_evmaki.flac", "spelled_kate.flac", "digits_40286_lucas.flac"])
async def test_short_english_is_english_where_it_is_expected_and_where_nothing_is(
    stt: FasterWhisper, name: str
) -> None:
    assert (await stt.transcribe(called(name), Ticket(), prior="en")).language == "en"
    assert (await stt.transcribe(called(name), Ticket())).language == "en"


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("leopard_de.flac", "de"),
        ("fr_quelle-heure-est-il.flac", "fr"),
        ("leopard_ja.flac", "ja"),
        ("az_es-mx.flac", "es"),
    ],
)
async def test_another_language_is_heard_although_english_is_expected(
    stt: FasterWhisper, name: str, language: str
) -> None:
    heard = await stt.transcribe(called(name), Ticket(), prior="en")
    assert heard.language == language
    assert heard.language_probability > 0.5
