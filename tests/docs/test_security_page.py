"""The security page names a test for each fault that was found, and each of them is there."""

import re
from pathlib import Path

import pytest

FOUND = [
    "C1", "H1", "H2", "H3", "H7", "H8", "H9", "H10", "H11", "M1", "M2", "M5", "M6", "M7", "M8", "M9",
    "L1", "L2", "L3", "L4", "L5", "L6", "S1", "R1", "R2", "R3",
]  # fmt: skip


@pytest.fixture(scope="module")
def rows(repository: Path) -> dict[str, list[str]]:
    """Tests by fault."""
    lines = re.findall(r"^\| ([CHMLSR]\d+) \|.*\| (.*) \|$", (repository / "SECURITY.md").read_text(), re.MULTILINE)
    return {fault: re.findall(r"`([^`]+)`", tests) for fault, tests in lines}


def test_every_fault_has_its_row(rows: dict[str, list[str]]) -> None:
    assert list(rows) == FOUND


@pytest.mark.parametrize("fault", FOUND)
def test_its_tests_are_there(fault: str, rows: dict[str, list[str]], repository: Path) -> None:
    assert rows[fault]
    for named in rows[fault]:
        file, _, test = named.partition("::")
        text = (repository / file).read_text()
        assert re.search(rf"^(async )?def {test or 'test_'}", text, re.MULTILINE), named
