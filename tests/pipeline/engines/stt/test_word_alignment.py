import numpy as np

from pipeline.engines.stt.word_alignment import align_words

STEPS_PER_SECOND = 50


def tone(*stretches: tuple[float, float], duration: float) -> np.ndarray:
    audio = np.zeros(int(duration * 16_000), np.float32)
    for start, end in stretches:
        audio[int(start * 16_000) : int(end * 16_000)] = 0.5
    return audio


def test_punctuation_joins_the_word_that_it_touches() -> None:
    words = [" “", "Hello", ",", " world", "!", ""]
    groups = [[1], [2], [3], [4], [5], [0]]
    alignment = [(0, 0), (1, 0), (2, 20), (3, 25), (4, 45), (5, 50)]
    aligned = align_words(words, groups, alignment, tone((0, 1), duration=1))
    assert [word.text for word in aligned] == ["“Hello,", "world!"]
    assert aligned[1].start == 0.5


def test_a_word_is_narrowed_to_where_it_sounds() -> None:
    """Attention gives a word the pause before it, and a bit of the word before that."""
    audio = tone((0.4, 1.05), (2.0, 2.5), duration=3)
    aligned = align_words([" first", " second", ""], [[1], [2], [0]], [(0, 0), (1, 50), (2, 150)], audio)
    assert (aligned[0].start, aligned[0].end) == (0.4, 1.0)
    assert (aligned[1].start, aligned[1].end) == (2.0, 2.5)


def test_words_of_several_tokens_begin_with_their_first() -> None:
    aligned = align_words(
        [" Mor", " gan", ""],
        [[1, 2], [3, 4], [0]],
        [(0, 10), (1, 15), (2, 20), (3, 25), (4, 30)],
        tone((0, 1), duration=1),
    )
    assert [(word.start, word.end) for word in aligned] == [(0.2, 0.4), (0.4, 0.6)]


def test_no_word_ends_after_the_audio() -> None:
    aligned = align_words([" late", ""], [[1], [0]], [(0, 10), (1, 500)], tone((0, 1), duration=1))
    assert aligned[0].end == 1.0


def test_no_words_give_none() -> None:
    assert align_words([""], [[0]], [], np.zeros(0, np.float32)) == ()
