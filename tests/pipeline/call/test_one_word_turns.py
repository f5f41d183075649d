"""One-word turns of different voices in one call, real speech and real models: none changes the call's language."""

from pathlib import Path

import numpy as np
import pytest

from bench.turns import loaded_ears, options_of
from pipeline.audio import HEARING_RATE
from pipeline.call.events import ReplyDone, TranscriptCompleted
from server.settings import Settings
from server.testing.recorded_call import MEASURED, RecordedCall, Recording, read_recording
from tests.conftest import lacking

QUESTION = "weather.wav"
WORDS = (
    "word_yes_tflm",
    "letter_nine_petewarden",
    "digit_0_lucas",
    "word_no_tflm",
    "digit_1_george",
    "digit_2_nicolas",
    "digit_3_jackson",
    "letter_d_evmaki",
    "digit_5_theo",
    "digit_8_nicolas",
)
"""Ten words of eight people: American, German, Greek and French ones among them, as they lie: their loudness
differs by 32 dB. Left out is digit_4_yweweler, 0.27 s, which voice activity does not take for speech at any level, so
that it is no turn.
"""

PAUSE_S = 3.4
"""Between two turns: what is said within two seconds would go on with the one before."""


@pytest.fixture(scope="module")
def call(models_dir: Path, shared_audio: Path) -> RecordedCall:
    """An English question, then ten words, in a call of which nothing is known before."""
    settings = Settings(models_dir=models_dir, interim_transcripts=False)
    quiet = np.random.default_rng(3).normal(0, 1e-4, round(PAUSE_S * HEARING_RATE)).astype(np.float32)
    parts = []
    for path in [shared_audio / QUESTION, *(shared_audio / "dev" / f"{word}.flac" for word in WORDS)]:
        if not path.is_file():
            lacking(f"There is no {path.name} in {path.parent}.")
        parts += [read_recording(path), quiet]
    with (
        loaded_ears(settings) as ears,
        Recording(np.concatenate(parts), ears.vad, ears.turn, ears.stt) as recording,
    ):
        return RecordedCall(recording, options=options_of(settings), delays=MEASURED, reply="And?").play()


def test_every_word_is_a_turn_in_the_language_of_the_conversation(call: RecordedCall) -> None:
    turns = call.all(TranscriptCompleted)
    assert len(turns) == 1 + len(WORDS), [turn.text for turn in turns]
    assert [turn.text for turn in turns if turn.language != "en" or turn.call_language != "en"] == []


def test_every_word_is_answered(call: RecordedCall) -> None:
    answers = [reply for reply in call.all(ReplyDone) if reply.status == "completed"]
    assert len(answers) == 1 + len(WORDS)
