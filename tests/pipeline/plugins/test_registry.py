"""Engines are found by role and id: Morgan's own, and those of packages that register one."""

import importlib.metadata
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.plugins.built_in import BUILT_IN, PIPER
from pipeline.plugins.registry import GROUP, engines_for_folders, find_engine, known_ids

Register = Callable[..., None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Puts a package with entry points and a module on the path, as an installation does."""

    def add(name: str, module: str, code: str, *points: str) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *points]))
        (folder / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(folder))

    return add


def test_morgans_own_are_registered_as_those_of_others_are(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    registered = {
        name: importlib.metadata.EntryPoint(name, value, GROUP).load()
        for name, value in project["entry-points"][GROUP].items()
    }
    assert registered == {f"{plugin.role}.{plugin.id}": plugin for plugin in BUILT_IN}


def test_an_engine_is_found_by_role_and_id() -> None:
    assert find_engine("tts", "piper") is PIPER
    with pytest.raises(EngineUnavailableError, match=r"no stt engine 'piper'; there are faster-whisper"):
        find_engine("stt", "piper")


def test_an_engine_of_another_package_is_known_and_asked_first_about_folders(
    register: Register, tmp_path: Path
) -> None:
    code = """
from pipeline.plugins.engine_plugin import EngineOptions, EnginePlugin
PLUGIN = EnginePlugin("gong", "tts", EngineOptions, lambda options, host: None, fits=lambda folder: True)
"""
    register("gongs", "gongs_module_a", code, "tts.gong = gongs_module_a:PLUGIN")
    assert "gong" in known_ids("tts")
    assert "gong" not in known_ids("stt")
    assert [plugin.id for plugin in engines_for_folders("tts")] == ["gong", "csm", "kokoro", "piper"]


def test_a_package_that_cannot_be_imported_is_named_and_harms_no_other_engine(register: Register) -> None:
    register("broken", "broken_module", "import nothing_of_this_name", "tts.broken = broken_module:PLUGIN")
    assert find_engine("tts", "piper") is PIPER
    with pytest.raises(EngineUnavailableError, match=r"'broken' of the package broken cannot .*nothing_of_this_name"):
        find_engine("tts", "broken")


def test_what_is_registered_must_be_an_engine_of_that_role_and_id(register: Register) -> None:
    register("odd", "odd_module", "PLUGIN = 1", "tts.odd = odd_module:PLUGIN")
    with pytest.raises(EngineUnavailableError, match="is no EnginePlugin"):
        find_engine("tts", "odd")


def test_two_packages_with_one_id_are_told_of(register: Register) -> None:
    register("first", "first_module", "", "tts.twice = first_module:PLUGIN")
    register("second", "second_module", "", "tts.twice = second_module:PLUGIN")
    with pytest.raises(EngineUnavailableError, match="first, second; remove all but one"):
        find_engine("tts", "twice")
