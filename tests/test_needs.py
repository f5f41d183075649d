"""The markers of `tests.needs` follow from fixtures and helpers, and `-m unit` leaves out what carries one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs

pytestmark = pytest.mark.timeout(600)

CONFTEST = """
import pytest
from tests.conftest import pytest_collection_modifyitems, pytest_configure
from tests.pipeline.engines.speech import model

@pytest.fixture
def models_dir():
    raise AssertionError("a unit test has no weights")

@pytest.fixture
def engine(models_dir):
    return models_dir

@pytest.fixture
def voice():
    return model("a-voice")
"""

TESTS = """
def test_plain(tmp_path): ...
def test_with_weights_through_another_fixture(engine): ...
def test_with_weights_by_a_helper_of_a_fixture(voice): ...
"""

HELPED = """
from tests.pipeline.engines.speech import clip

def test_may_read_a_recording(): ...
"""

STARTING = """
import subprocess
import sys
from contextlib import contextmanager

import pytest

@contextmanager
def running(*command):
    with subprocess.Popen(command) as process:
        yield process

class Helper:
    @staticmethod
    def run():
        with running("true"):
            pass

@pytest.fixture
def ran():
    Helper.run()

def test_by_a_helper(): Helper.run()
def test_by_a_fixture(ran): ...
def test_by_name(): assert sys.executable
def test_beside_them(): assert sys.platform
def test_within():
    import torch
"""


def run_pytest(folder: Path, repository: Path, *arguments: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_plain.py").write_text(TESTS)
    (folder / "test_helped.py").write_text(HELPED)
    (folder / "test_starting.py").write_text(STARTING)
    options = ("-q", "-p", "no:cacheprovider", "--strict-markers", "--rootdir", str(folder))
    command = [sys.executable, "-m", "pytest", *options, *arguments, str(folder)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=500, check=False).stdout


def test_unit_leaves_out_what_needs_something(tmp_path: Path, repository: Path) -> None:
    shown = run_pytest(tmp_path, repository, "-m", "unit")
    assert "2 passed, 7 deselected" in shown


def test_a_marker_follows_from_a_fixture_and_from_a_helper(tmp_path: Path, repository: Path) -> None:
    shown = run_pytest(tmp_path, repository, "-m", "models or audio", "--collect-only")
    assert "test_with_weights_through_another_fixture" in shown
    assert "test_with_weights_by_a_helper_of_a_fixture" in shown
    assert "test_may_read_a_recording" in shown
    assert "test_plain.py::test_plain" not in shown


def test_a_marker_follows_from_what_a_test_refers_to(tmp_path: Path, repository: Path) -> None:
    shown = run_pytest(tmp_path, repository, "-m", "processes", "--collect-only")
    assert re.findall(r"test_starting.py::(\w+)", shown) == ["test_by_a_helper", "test_by_a_fixture", "test_by_name"]
    shown = run_pytest(tmp_path, repository, "-m", "extras", "--collect-only")
    assert re.findall(r"::(\w+)", shown) == ["test_within"]


def test_every_file_that_asserts_real_time_is_there(repository: Path) -> None:
    assert [path for path in needs.WALL_CLOCK if not (repository / path).is_file()] == []
