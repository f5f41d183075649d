"""Forms as stock clients send them with a file to be transcribed."""

import pytest
from multidict import MultiDict

from pipeline.text.languages import CODES, NAMES
from server.http.errors import ApiError
from server.transcription.uploads import Upload
from server.v1.transcriptions import Wanted, wanted_of


def wanted(*fields: tuple[str, str]) -> Wanted:
    return wanted_of(Upload(b"", None, MultiDict(fields)))


def test_any_name_of_a_model_will_do_as_on_all_routes() -> None:
    assert wanted(("model", "large-v3-turbo")) == wanted() == wanted(("model", ""))


def test_what_the_ai_sdk_sends_once_an_option_is_set_is_taken() -> None:
    """It adds its defaults then, time stamps among them, also with `json`, which has none."""
    told = wanted(
        ("model", "gpt-4o-transcribe"),
        ("response_format", "json"),
        ("temperature", "0"),
        ("timestamp_granularities[]", "segment"),
        ("language", "de"),
    )
    assert (told.response_format, told.language) == ("json", "de")


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]", "timestamp_granularities[0]"])
def test_lists_are_read_however_they_are_spelled(name: str) -> None:
    assert wanted(("response_format", "verbose_json"), (name, "word")).granularities == ("word",)


def test_keywords_stand_before_the_prompt() -> None:
    assert (
        wanted(("keywords[]", "Morgan"), ("keywords[]", "Piper"), ("prompt", "Then:")).prompt == "Morgan, Piper Then:"
    )


def test_one_language_of_a_list_is_the_language_and_several_are_left_to_the_model() -> None:
    assert wanted(("languages[]", "de")).language == "de"
    assert wanted(("languages[]", "de"), ("languages[]", "fr")).language == "auto"


def test_empty_fields_of_a_form_say_nothing() -> None:
    assert wanted(("response_format", ""), ("temperature", ""), ("language", ""), ("stream", "")) == wanted()


@pytest.mark.parametrize(
    "field",
    [
        ("response_format", "diarized_json"),
        ("include[]", "logprobs"),
        ("stream", "yes"),
        ("known_speaker_names[]", "Ada"),
    ],
)
def test_what_is_not_to_be_had_is_refused_by_name(field: tuple[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        wanted(field)
    assert refused.value.status == 400
    assert refused.value.details[0]["field"] == field[0]


def test_every_language_of_whisper_has_the_name_that_openai_tells() -> None:
    assert NAMES["de"].lower() == "german"
    assert CODES["haitian creole"] == "ht"
    assert len(CODES) == len(NAMES) >= 99
