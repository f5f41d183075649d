"""Whether somebody spoke: real voices do, however short, and what rooms and bodies sound like does not."""

from pathlib import Path

import pytest

from pipeline.audio import to_pcm
from pipeline.call.inputs import VoiceHeard
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.call.user.voice_meter import SPOKEN_S, VoiceMeter
from pipeline.engines.vad.silero import SileroVad
from server.testing.recorded_call import read_recording
from tests.conftest import lacking
from tests.pipeline.engines.speech import model

NOISES = (
    "babble baby car-horn chime cough dog-bark engine kitchen music office phone-ring room siren".split()  # noqa: SIM905
)

SPOKEN = [
    "letter_b_petewarden",
    "letter_d_evmaki",
    "letter_nine_petewarden",
    "digit_0_lucas",
    "digit_1_george",
    "digit_6_george",
    "word_yes_tflm",
    "word_no_tflm",
    "word_computer_0",
    "fr_suivant",
    "az_good_morning",
    "uberi_zh",
    "spelled_kate",
    "whisperkit_ja",
    "coffee_00_253b08c9",
    "common_voice_en_22058264",
    "libri_61-70968-0000",
]


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(model("silero-vad-v6"))


def voice_s(path: Path, vad: SileroVad) -> float:
    """Voice in a recording."""
    if not path.is_file():
        lacking(f"There is no {path.name} in {path.parent}.")
    hearing, meter = AudioBuffer(vad.open_stream()), VoiceMeter()
    for window in hearing.add(to_pcm(read_recording(path)), 0.0):
        meter.hear(window, window.probability)
    return meter.seconds(0, hearing.end)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_nobody_speaking(name: str, shared_audio: Path, vad: SileroVad) -> None:
    assert voice_s(shared_audio / "dev" / f"noise_{name}.flac", vad) < SPOKEN_S


@pytest.mark.parametrize("name", SPOKEN)
def test_a_word_is_somebody_speaking(name: str, shared_audio: Path, vad: SileroVad) -> None:
    assert voice_s(shared_audio / "dev" / f"{name}.flac", vad) >= SPOKEN_S


def test_only_voice_between_the_two_samples_counts() -> None:
    meter = VoiceMeter()
    for window in range(1, 101):
        loud = VoiceHeard(0.97, (-20.0, -20.0, -20.0, -20.0), window * 512, 0.0)
        meter.hear(loud, 0.97 if window > 50 else 0.0)
    assert meter.seconds(0, 51_200) == pytest.approx(50 * 0.032)
    assert meter.seconds(30_720, 40_960) == pytest.approx(20 * 0.032)
