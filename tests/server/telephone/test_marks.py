"""Marks, both ways: ours tell of the way to the ear, theirs come back when what was before them has gone out."""

import pytest

from server.telephone.marks import MarkBook


def test_a_mark_of_ours_tells_how_long_it_took() -> None:
    marks = MarkBook()
    name = marks.make(10.0)
    assert marks.waits_for(name)
    assert marks.came(name, 0, 10.25) == pytest.approx(0.25)
    assert not marks.waits_for(name)
    assert marks.came(name, 0, 11.0) is None


def test_one_that_took_too_long_or_comes_of_a_clear_tells_nothing() -> None:
    marks = MarkBook()
    assert marks.came(marks.make(10.0), 0, 99.0) is None
    name = marks.make(10.0)
    marks.cleared()
    assert marks.came(name, 0, 10.01) is None


def test_a_mark_of_theirs_comes_back_when_what_was_written_before_it_has_gone_out() -> None:
    marks = MarkBook()
    marks.came("theirs", 4_800, 1.0)
    assert marks.due(4_799) == []
    assert marks.due(4_800) == ["theirs"]
    assert marks.due(9_999) == []


def test_what_is_thrown_away_sends_them_back_at_once_and_in_order() -> None:
    marks = MarkBook()
    marks.came("one", 4_800, 1.0)
    marks.came("two", 9_600, 1.0)
    assert marks.cleared() == ["one", "two"]
    assert marks.due(99_999) == []


def test_the_answer_to_what_was_sent_back_is_not_sent_back_again() -> None:
    marks = MarkBook()
    marks.came("theirs", 0, 1.0)
    assert marks.due(0) == ["theirs"]
    marks.came("theirs", 0, 1.1)
    assert marks.due(0) == []
    marks.came("theirs", 0, 2.0)
    assert marks.due(0) == ["theirs"]


def test_however_many_there_are_only_so_many_are_kept() -> None:
    marks = MarkBook()
    names = [marks.make(float(number)) for number in range(500)]
    for number in range(500):
        marks.came(f"theirs {number}", 10**9, 1.0)
    assert not marks.waits_for(names[0])
    assert marks.waits_for(names[-1])
    assert len(marks.due(0)) == 500 - 64
