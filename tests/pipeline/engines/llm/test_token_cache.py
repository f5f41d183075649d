"""What prompts had before is tokenised once, and never grows beyond its bound."""

from array import array

from pipeline.engines.llm.token_cache import PromptTokens, TokenCache


class Letters:
    """Makes a token of every letter, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str, controls: bool) -> "array[int]":
        self.asked.append(text)
        return array("i", map(ord, text))


def test_a_text_of_an_accepted_prompt_is_tokenised_once() -> None:
    cache, letters = TokenCache(), Letters()
    for _ in range(2):
        prompt = PromptTokens(cache, letters)
        prompt.begin()
        assert list(prompt.of("ab", False)) == [97, 98]
        prompt.accept()
    assert letters.asked == ["ab"]


def test_the_same_text_with_and_without_control_tokens_are_two() -> None:
    letters = Letters()
    prompt = PromptTokens(TokenCache(), letters)
    prompt.begin()
    prompt.of("<s>", False)
    prompt.of("<s>", True)
    assert letters.asked == ["<s>", "<s>"]


def test_a_prompt_that_is_rendered_again_makes_no_token_twice() -> None:
    letters = Letters()
    prompt = PromptTokens(TokenCache(), letters)
    for texts in (("old", "new"), ("new",)):
        prompt.begin()
        for text in texts:
            prompt.of(text, False)
    assert letters.asked == ["old", "new"]


def test_a_refused_prompt_and_what_did_not_fit_leave_nothing() -> None:
    cache, letters = TokenCache(), Letters()
    refused = PromptTokens(cache, letters)
    refused.begin()
    refused.of("x" * 1000, False)
    assert cache.size == 0
    shortened = PromptTokens(cache, letters)
    shortened.begin()
    shortened.of("y" * 1000, False)
    shortened.begin()
    shortened.of("short", False)
    shortened.accept()
    assert cache.get(("y" * 1000, False)) is None
    assert cache.get(("short", False)) is not None


def test_the_bound_is_in_bytes_and_the_oldest_go_first() -> None:
    cache = TokenCache(limit=10_000)
    for index in range(100):
        text = f"{index:03}" * 100
        cache.put((text, False), Letters()(text, False))
        cache.get(("000" * 100, False))
        assert cache.size <= 10_000
    assert cache.get(("000" * 100, False)) is not None
    assert cache.get(("001" * 100, False)) is None
    assert cache.get(("099" * 100, False)) is not None


def test_a_text_larger_than_the_bound_pushes_nothing_out() -> None:
    cache = TokenCache(limit=10_000)
    cache.put(("kept", False), array("i", [1]))
    cache.put(("x" * 20_000, False), array("i", [1]))
    assert cache.get(("kept", False)) is not None
    assert cache.get(("x" * 20_000, False)) is None
