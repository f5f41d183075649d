"""Names of voices, ours and others'."""

import pytest

from pipeline.engines.protocols import Voice
from server.http.errors import ApiError
from server.speech.voices import CSM, resolve_voice

VOICES = [Voice(name, name, "en", "kokoro") for name in ("en_US-joe-medium", "af_nova", "am_onyx")]


@pytest.mark.parametrize(
    ("wanted", "speaks"),
    [
        (None, "en_US-joe-medium"),
        ("default", "en_US-joe-medium"),
        ("am_onyx", "am_onyx"),
        ("nova", "af_nova"),
        ("alloy", "en_US-joe-medium"),
        (CSM, "en_US-joe-medium"),
    ],
)
def test_a_name_is_the_voice_itself_its_namesake_or_the_default(wanted: str | None, speaks: str) -> None:
    assert resolve_voice(wanted, VOICES, "en_US-joe-medium") == speaks


def test_csm_speaks_for_itself_where_it_is_loaded() -> None:
    assert resolve_voice(CSM, [*VOICES, Voice(CSM, "CSM", "en", "csm")], "en_US-joe-medium") == CSM


def test_an_unknown_voice_is_told_the_known_ones() -> None:
    with pytest.raises(ApiError) as refused:
        resolve_voice("bob", VOICES, "en_US-joe-medium")
    assert refused.value.status == 400
    assert all(voice.id in refused.value.message for voice in VOICES)
