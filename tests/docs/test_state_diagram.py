"""The state diagram in docs/architecture.md is `pipeline/call/state.py`: all of it, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.call.state import TRANSITIONS, Phase, Trigger

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
    drawn: dict[tuple[Phase, Trigger], Phase] = {}
    for source, target, triggers in ARROW.findall(diagram):
        sources = [phase for phase in Phase if phase is not Phase.ENDED] if source == "call" else [Phase(source)]
        drawn |= {(phase, Trigger(name)): Phase(target) for phase in sources for name in triggers.split(", ")}
    assert drawn == TRANSITIONS


def test_every_trigger_is_explained(repository: Path) -> None:
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [trigger for trigger in Trigger if not re.search(rf"\| `{trigger.value}` \| \S", page)] == []
