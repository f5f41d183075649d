"""Recordings in other languages, as English text: what the language model is asked, and what it is not."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pipeline.engines.protocols import ChatDelta, ChatRequest, LanguageModel
from pipeline.scheduling.lanes import Ticket
from pipeline.transcription.segments import Segment
from server.http.errors import ApiError
from server.v1.transcriptions import Wanted, answered
from server.v1.translations import Translation, translated

GERMAN = Segment("Wie geht es dir?", 0.0, 1.5, "de")
ENGLISH = Segment("I am fine.", 2.0, 3.0, "en")


class Translator:
    """Knows one sentence."""

    model = "small"

    def __init__(self, *, able: bool = True) -> None:
        self.calls_tools = able
        self.asked: list[ChatRequest] = []

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        self.asked.append(request)
        yield ChatDelta("How are ")
        yield ChatDelta("you?\n")
        yield ChatDelta("", "stop")


def heard(*segments: Segment) -> Translation:
    """A transcript; it has what one has."""
    return Translation(segments, 3.0, False, segments[0].language if segments else None)


async def in_english(translator: Translator, *segments: Segment) -> Translation:
    return await translated(cast(LanguageModel, translator), heard(*segments))


async def test_each_segment_that_is_not_english_is_translated_in_its_place() -> None:
    translator = Translator()
    told = await in_english(translator, GERMAN, ENGLISH)
    assert told.text == "How are you? I am fine."
    assert [(each.start, each.end, each.language) for each in told.segments] == [(0.0, 1.5, "en"), (2.0, 3.0, "en")]
    (asked,) = translator.asked
    assert asked.messages[-1].content == GERMAN.text
    assert "into English" in asked.messages[0].content


async def test_english_is_asked_of_nobody() -> None:
    translator = Translator(able=False)
    assert (await in_english(translator, ENGLISH)).text == ENGLISH.text
    assert (await in_english(translator)).text == ""
    assert translator.asked == []


async def test_a_model_that_would_make_something_up_is_not_asked() -> None:
    translator = Translator(able=False)
    with pytest.raises(ApiError, match="too small") as refused:
        await in_english(translator, GERMAN)
    assert (refused.value.status, refused.value.code) == (400, "translation_unsupported")
    assert translator.asked == []


@pytest.mark.parametrize(
    ("form", "told"),
    [("text", "How are you?\n"), ("srt", "1\n00:00:00,000 --> 00:00:01,500\nHow are you?\n\n")],
)
async def test_a_translation_comes_in_every_form_of_a_transcript(form: Any, told: str) -> None:
    answer = answered(await in_english(Translator(), GERMAN), Wanted(None, "", form, 0.0, (), False), "translate")
    assert answer.text == told


async def test_the_verbose_form_says_that_it_is_a_translation() -> None:
    wanted = Wanted(None, "", "verbose_json", 0.0, (), False)
    answer = answered(await in_english(Translator(), GERMAN), wanted, "translate")
    told = json.loads(answer.text or "")
    assert (told["task"], told["language"], told["text"]) == ("translate", "english", "How are you?")
