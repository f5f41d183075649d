import pytest

from pipeline.engines.repetition import without_loop


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([1, 2, 3] + [7] * 20, [1, 2, 3, 7]),
        ([9] + [4, 5, 6] * 10, [9, 4, 5, 6]),
        ([4, 5, 6, 7] * 4 + [4, 5], [4, 5, 6, 7]),
    ],
)
def test_a_loop_is_cut_behind_its_first_round(tokens: list[int], kept: list[int]) -> None:
    assert without_loop(tokens) == kept


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [5],
        [7] * 6,
        [1, 2] * 3,
        [1, 2, 3, 4, 5, 6] * 2 + [9],
        list(range(60)),
    ],
)
def test_what_people_do_repeat_stays(tokens: list[int]) -> None:
    assert without_loop(tokens) == tokens
