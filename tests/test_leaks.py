"""The check that every test goes through: what is left running fails the test that left it."""

import subprocess
import sys
from pathlib import Path

import pytest

LEAKS_A_TASK = """
import asyncio

async def test_leaves_a_task():
    asyncio.get_running_loop().create_task(asyncio.sleep(60), name="forgotten")
"""

LEAKS_A_LANE = """
from pipeline.scheduling.lanes import Lane

def test_leaves_a_lane():
    Lane("forgotten")
"""

TIDY = """
import asyncio
import pytest
from pipeline.scheduling.lanes import Lane

@pytest.fixture(scope="module")
def shared_lane():
    lane = Lane("shared")
    yield lane
    lane.close()

async def test_uses_what_a_wider_scope_keeps_running(shared_lane):
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0.05))
    lane = Lane("own")
    lane.close()
"""


def run_pytest(folder: Path, repository: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a test file under this repository's conftest, in a process of its own."""
    (folder / "conftest.py").write_text("from tests.conftest import _no_task_left, _nothing_left_running\n")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("source", "named"), [(LEAKS_A_TASK, "forgotten"), (LEAKS_A_LANE, "lane-forgotten")])
def test_what_a_test_leaves_running_fails_it_by_name(tmp_path: Path, repository: Path, source: str, named: str) -> None:
    result = run_pytest(tmp_path, repository, source)
    assert result.returncode == 1, result.stdout
    assert f"left {'tasks' if source is LEAKS_A_TASK else 'threads'} running: {named}" in result.stdout


def test_what_ends_by_itself_or_belongs_to_a_wider_scope_passes(tmp_path: Path, repository: Path) -> None:
    result = run_pytest(tmp_path, repository, TIDY)
    assert result.returncode == 0, result.stdout
