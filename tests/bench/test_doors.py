"""Voice to voice by door: the figures say which adds too much."""

import io

from rich.console import Console

from bench.door_callers import DOORS, REFERENCE
from bench.doors import parse, report_of, show


def test_a_door_is_held_against_the_median_of_the_reference() -> None:
    report = report_of({REFERENCE: [300, 310, 320], "quick": [290, 300, 335], "slow": [330, 345, 350]})
    assert report["doors"]["quick"] == {"asked": 3, "answered": 3, "p50_ms": 300, "p95_ms": 331.5, "adds_ms": -10}
    assert report["doors"]["slow"]["adds_ms"] == 35
    assert report["broken"] == ["slow"]


def test_a_door_that_does_not_always_answer_is_broken() -> None:
    report = report_of({REFERENCE: [300], "deaf": [None], "hard of hearing": [300, None]})
    assert report["broken"] == ["deaf", "hard of hearing"]
    shown = io.StringIO()
    show(report, Console(file=shown, width=100))
    assert "0 of 1" in shown.getvalue()


def test_the_reference_is_always_among_them() -> None:
    assert parse(["--door", "POST /whip"]).doors == [REFERENCE, "POST /whip"]
    assert parse([]).doors == list(DOORS)
