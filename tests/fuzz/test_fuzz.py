"""Every fuzz target for a moment: seeds, what once broke it, and some hundred made-up inputs."""

import pytest

from tests.fuzz.fuzzing import FoundError, run_briefly, run_long
from tests.fuzz.target import CASES, Target, plain
from tests.fuzz.targets import TARGETS
from tests.thorough import share


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_is_made_up_breaks(name: str) -> None:
    assert run_briefly(TARGETS[name]) > share(TARGETS[name].runs)


def test_every_case_belongs_to_a_target() -> None:
    assert {folder.name for folder in CASES.iterdir()} <= set(TARGETS)


def _fragile(data: bytes) -> None:
    if len(data) > 3 and data[1] == 0xFF:
        raise KeyError("broken")


def test_what_breaks_a_parser_is_found_and_kept(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.fuzzing.CASES", tmp_path)
    monkeypatch.setattr("tests.fuzz.target.CASES", tmp_path)
    target = Target("fragile", "a parser with a fault", plain(_fragile), lambda: [b"seed"], runs=5_000)
    with pytest.raises(FoundError, match="KeyError: 'broken'"):
        run_briefly(target)
    assert target.cases() == []
    with pytest.raises(FoundError) as found:
        run_long(target, 60, seed=1)
    assert target.cases() == [found.value.data]
    _fragile(b"seed")
    with pytest.raises(KeyError):
        _fragile(target.cases()[0])
