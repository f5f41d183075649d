"""Numbers as words."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.numbers import cardinal, decimal, digits, ordinal, year


def test_years_are_read_in_pairs() -> None:
    assert (year(1984), year(2026), year(1900)) == ("nineteen eighty-four", "twenty twenty-six", "nineteen hundred")


def test_ordinals() -> None:
    assert (ordinal(21), ordinal(3, "de")) == ("twenty-first", "dritte")


def test_zeros_behind_the_point_are_kept() -> None:
    assert decimal("3", "050", "point") == "three point zero five zero"


def test_digits_leave_out_everything_else() -> None:
    assert digits("+1 (55)") == "one five five"


def test_an_unknown_language_gives_nothing() -> None:
    assert (cardinal(3, "zz"), ordinal(3, "zz"), digits("3", "zz"), decimal("3", "1", ".", "zz")) == (None,) * 4


def test_a_region_is_ignored_and_norwegian_is_found() -> None:
    assert cardinal(42, "en-US") == "forty-two"
    assert cardinal(2, "nb") == "to"


@given(st.integers(-(10**40), 10**40))
def test_every_integer_can_be_said_without_digits(number: int) -> None:
    said = cardinal(number)
    assert said
    assert not any(c.isdigit() or c == "," for c in said)
