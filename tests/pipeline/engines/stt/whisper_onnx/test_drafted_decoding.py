"""Greedy decoding with a draft, of a model that says a sentence: the same words in fewer passes, whatever the draft."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.engines.stt.whisper_onnx.drafted_decoding import TokenRules, decode

END = 0
START = (90, 91, 92)
SENTENCE = (11, 12, 13, 14, 11, 12, 15, 16)
WORDS = 100
RULES = TokenRules(END, np.array([80]), np.array([81]))


class Speaker:
    """Says `SENTENCE` wherever a text begins with a part of it, and nonsense behind anything else, as a model would."""

    def __init__(self) -> None:
        self.text: list[int] = []
        self.runs: list[int] = []

    def run(self, tokens: Sequence[int], places: Sequence[int]) -> np.ndarray:
        before = len(self.text)
        self.text += tokens
        self.runs.append(len(tokens))
        return np.stack([self.logits(tuple(self.text[: before + place + 1])) for place in places])

    def forget(self, count: int) -> None:
        if count:
            del self.text[-count:]

    def logits(self, text: tuple[int, ...]) -> np.ndarray:
        assert text[:3] == START
        said = text[3:]
        rest = (*SENTENCE, END)[len(said) :] if SENTENCE[: len(said)] == said else (70,)
        logits = np.zeros(WORDS, np.float32)
        logits[rest[0]] = 5.0
        # What may not be said would be said.
        logits[80], logits[81] = 9.0, 9.0 if not said else 0.0
        return logits


def heard(draft: Sequence[int], most: int = 50) -> tuple[tuple[int, ...], float, Speaker]:
    speaker = Speaker()
    said, log_probability, passes = decode(speaker.run, speaker.forget, START, RULES, most, draft)
    assert passes == len(speaker.runs)
    return said, log_probability, speaker


def test_without_a_draft_each_token_takes_a_pass() -> None:
    said, log_probability, speaker = heard(())
    assert said == SENTENCE
    assert speaker.runs == [3, *[1] * len(SENTENCE)]
    # Each token has exp(5) against 97 others or, at the beginning, 96 that may be said instead.
    each, first = np.log(np.exp(5) + 98), np.log(np.exp(5) + 97)
    assert log_probability == pytest.approx(len(SENTENCE) * (5 - each) + 5 - first, abs=1e-4)


def test_a_right_draft_takes_one_pass() -> None:
    said, log_probability, speaker = heard(SENTENCE)
    assert said == SENTENCE
    assert speaker.runs == [3 + len(SENTENCE)]
    assert log_probability == pytest.approx(heard(())[1], abs=1e-4)


@pytest.mark.parametrize(
    ("draft", "passes"),
    [
        (SENTENCE[:5], 4),  # what came since the draft, token by token
        ((*SENTENCE, 55, 56), 1),  # a draft that is too long
        ((11, 12, 13, 99, 11, 12, 15, 16), 2),  # one token otherwise, such as a comma for a full stop
        ((11, 12, 13, 11, 12, 15, 16), 3),  # one left out: the next is first taken for another in its place
        ((11, 12, 55, 13, 14, 11, 12, 15, 16), 2),  # one too many
        ((55, 56, 57), 9),  # all wrong: the first pass of three tokens, and one for each
        ((99, 12, 13, 14, 11, 12, 15, 16), 2),  # the first one wrong
    ],
)
def test_whatever_the_draft_the_words_are_those_of_the_model(draft: Sequence[int], passes: int) -> None:
    said, log_probability, speaker = heard(draft)
    assert said == SENTENCE
    assert log_probability == pytest.approx(heard(())[1], abs=1e-4)
    assert len(speaker.runs) == passes


def test_no_draft_of_any_kind_changes_a_word() -> None:
    random = np.random.default_rng(5)
    for _ in range(300):
        draft = [int(token) for token in SENTENCE for _ in range(int(random.integers(0, 3)))]
        for place in range(len(draft)):
            if random.random() < 0.2:
                draft[place] = int(random.integers(1, 60))
        said, _, speaker = heard(draft)
        assert said == SENTENCE
        assert len(speaker.runs) <= len(SENTENCE) + 1, "a draft never costs a pass"
        assert tuple(speaker.text[: 3 + len(SENTENCE)]) == (*START, *SENTENCE)


@pytest.mark.parametrize("draft", [(), SENTENCE])
def test_the_text_ends_at_its_bound(draft: Sequence[int]) -> None:
    said, _, speaker = heard(draft, most=4)
    assert said == SENTENCE[:4]
    assert sum(speaker.runs) <= 3 + 4
