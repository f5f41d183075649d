"""What a call is taken to be spoken in, by request, preference, earlier conversation and settings."""

from typing import Any

import pytest

from pipeline.call.events import TranscriptDelta, TurnUnclear
from pipeline.text.phrases import UNCLEAR
from server.calls.defaults import call_options
from server.calls.websocket.events import SocketEvents
from server.conversations.beginnings import language_options
from server.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("asked", "preferred", "earlier", "options"),
    [
        ("de", "fr", "es", {"language": "de"}),
        (None, "fr", "es", {"language": "", "expected_language": "fr"}),
        (None, None, "es", {"expected_language": "es"}),
        (None, None, None, {}),
        ("", "fr", None, {"language": "", "expected_language": "fr"}),
        ("", None, None, {"language": ""}),
    ],
)
def test_what_is_asked_for_is_spoken_and_the_rest_expected(
    asked: str | None, preferred: str | None, earlier: str | None, options: dict[str, Any]
) -> None:
    assert language_options(asked, preferred, earlier) == options


@pytest.mark.parametrize(
    ("environ", "language", "expected"),
    [
        ({}, None, None),
        ({"MORGAN_LANGUAGES": "de, en"}, None, "de"),
        ({"MORGAN_LANGUAGE": "en", "MORGAN_LANGUAGES": "de,en"}, "en", "en"),
    ],
)
def test_the_settings_tell_what_is_spoken_or_likely_so(
    environ: dict[str, str], language: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    options = call_options(load_settings())
    assert (options.language, options.expected_language) == (language, expected)


@pytest.mark.parametrize(
    ("environ", "named"),
    [({"MORGAN_LANGUAGES": "german"}, "german"), ({"MORGAN_LANGUAGE": "fr", "MORGAN_LANGUAGES": "de,en"}, "fr")],
)
def test_languages_that_do_not_fit_stop_the_start(
    environ: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=named):
        load_settings()


def test_what_is_said_to_unclear_speech_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_options(load_settings()).unclear_prompt == UNCLEAR["en"]
    monkeypatch.setenv("MORGAN_UNCLEAR_PROMPT", "")
    monkeypatch.setenv("MORGAN_UNCLEAR_PROMPTS", "1")
    options = call_options(load_settings())
    assert (options.unclear_prompt, options.unclear_prompts) == ("", 1)


def test_a_socket_is_told_of_unclear_speech_and_its_words_are_taken_back() -> None:
    events = SocketEvents("session")
    events.translate(TranscriptDelta("item_1", "some words"))
    (told,) = events.translate(TurnUnclear("item_1", "some words", 1.0))
    assert told == {"type": "transcript", "item_id": "item_1", "text": "", "final": True, "unclear": True}
