"""Real speech over a real call: a speaker who pauses is let finish."""

from pathlib import Path

from bench.pauses import text_of
from bench.spoken_turns import speak
from pipeline.text.normalise import word_error_rate
from tests.e2e.conftest import RunningServer


async def test_a_speech_with_long_pauses_keeps_its_words_and_is_at_most_two_turns(
    server: RunningServer, shared_audio: Path
) -> None:
    spoken = await speak(shared_audio / "jfk.flac", server.url)
    assert 1 <= len(spoken.turns) <= 2
    assert spoken.commits <= 3
    # To the word it is checked in virtual time; here packets may be late.
    assert word_error_rate(text_of("jfk.flac"), " ".join(spoken.turns)) <= 0.2
