"""Chance is tried as often as the run asks for, at least once, and never more often than a test says."""

import pytest

from tests import thorough


@pytest.mark.parametrize(
    ("sequences", "full", "share"),
    [(30, 40, 4), (30, 5, 1), (30, 1, 1), (300, 40, 40), (10_000, 40, 40), (1, 40, 1)],
)
def test_the_share_of_a_run(monkeypatch: pytest.MonkeyPatch, sequences: int, full: int, share: int) -> None:
    monkeypatch.setattr(thorough, "SEQUENCES", sequences)
    assert thorough.share(full) == share
