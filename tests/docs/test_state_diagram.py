"""The state diagram in docs/architecture.md is `pipeline/call/state.py`: all of it, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.call.state import TRANSITIONS, State, Trigger

ARROW = re.compile(r"^ *(\S+) --> (\S+): (.+)$", re.MULTILINE)


@pytest.fixture
def diagram(repository: Path) -> str:
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    return page.partition("```mermaid\nstateDiagram-v2\n")[2].partition("```")[0]


def test_the_diagram_is_not_stale(repository: Path) -> None:
    script = repository / "docs" / "write_state_diagram.py"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    checked = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60, env=environment
    )
    assert checked.returncode == 0, checked.stderr


def test_the_arrows_are_the_table(diagram: str) -> None:
    drawn: dict[tuple[State, Trigger], State] = {}
    for source, target, triggers in ARROW.findall(diagram):
        sources = [state for state in State if state is not State.ENDED] if source == "call" else [State(source)]
        drawn |= {(state, Trigger(name)): State(target) for state in sources for name in triggers.split(", ")}
    assert drawn == TRANSITIONS


def test_every_trigger_is_explained(repository: Path) -> None:
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [trigger for trigger in Trigger if not re.search(rf"\| `{trigger.value}` \| \S", page)] == []
