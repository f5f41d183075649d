"""Which form a client prefers."""

import pytest

from server.http.accept import preferred_form

FORMS = {"application/json": "json", "audio/*": "wav", "audio/wav": "wav", "audio/mpeg": "mp3"}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("audio/mpeg", "mp3"),
        ("audio/*", "wav"),
        ("application/json;q=0.5, audio/mpeg;q=0.9", "mp3"),
        ("audio/mpeg;q=0.1, */*", "json"),
        ("image/png", "json"),
        ("AUDIO/WAV; Q=0.3", "wav"),
        ("audio/wav;q=0", "json"),
        ("audio/wav;q=nonsense,,;", "json"),
    ],
)
def test_the_form_that_weighs_most_is_chosen(accept: str, form: str) -> None:
    assert preferred_form(accept, FORMS, "json") == form
