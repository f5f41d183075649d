"""`morgan models`, as its users run it."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from pipeline.models import FetchProgress, Manifest
from server.cli.models import BarProgress, PlainProgress
from tests.pipeline.models.hub_server import running_hub

SMART_TURN = "smart-turn-v3.2"
SMART_TURN_FILE = "smart-turn-v3.2-cpu.onnx"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An empty folder of weights."""
    return tmp_path / "models"


def morgan_models(weights: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `morgan models ...` over this folder, in a process of its own, without hub and package index."""
    offline = {"HF_HUB_OFFLINE": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    environment = os.environ | offline | {"MORGAN_MODELS_DIR": str(weights)} | environ
    command = [sys.executable, "-c", "from server.cli.models import app; app()", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def with_smart_turn(weights: Path, models_dir: Path) -> Path:
    """Put one real model into the folder; returns its file."""
    shutil.copytree(models_dir / SMART_TURN, weights / SMART_TURN)
    return weights / SMART_TURN / SMART_TURN_FILE


def states(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {model["id"]: model["state"] for model in json.loads(result.stdout)}


def test_list_shows_what_is_here_and_what_is_missing(weights: Path, models_dir: Path) -> None:
    with_smart_turn(weights, models_dir)
    result = morgan_models(weights, "list", "--json")
    assert states(result) == {
        model.id: "here" if model.id == SMART_TURN else "missing" for model in Manifest.load().models
    }


def test_list_for_people_names_every_model_with_its_licence(weights: Path) -> None:
    result = morgan_models(weights, "list", COLUMNS="120")
    for model in Manifest.load().models:
        line = next(line for line in result.stdout.splitlines() if model.id in line)
        assert model.licence in line


def test_list_tells_a_cut_off_file(weights: Path, models_dir: Path) -> None:
    os.truncate(with_smart_turn(weights, models_dir), 1000)
    assert states(morgan_models(weights, "list", "--json"))[SMART_TURN] == "corrupt"


def test_verify_ends_with_0_when_all_is_right(weights: Path, models_dir: Path) -> None:
    with_smart_turn(weights, models_dir)
    result = morgan_models(weights, "verify", SMART_TURN)
    assert (result.returncode, result.stdout) == (0, f"ok       {SMART_TURN}/{SMART_TURN_FILE}\n")


def test_verify_ends_with_1_and_the_command_that_mends_it(weights: Path, models_dir: Path) -> None:
    file = with_smart_turn(weights, models_dir)
    content = bytearray(file.read_bytes())
    content[4_000_000] ^= 1
    file.write_bytes(content)
    result = morgan_models(weights, "verify", SMART_TURN)
    assert result.returncode == 1
    assert result.stdout.startswith(f"corrupt  {SMART_TURN}/{SMART_TURN_FILE} has sha256")
    assert f"morgan models pull {SMART_TURN}" in result.stderr


def test_verify_without_names_counts_the_models_that_a_call_needs(weights: Path) -> None:
    result = morgan_models(weights, "verify", "--json")
    assert result.returncode == 1
    checked = {report["model"] for report in json.loads(result.stdout)}
    assert checked == {model.id for model in Manifest.load().defaults()}


def test_pull_fetches_a_model_from_the_hub_and_says_how_it_goes(weights: Path, models_dir: Path) -> None:
    model = Manifest.load().get(SMART_TURN)
    assert model.hub is not None
    content = (models_dir / SMART_TURN / SMART_TURN_FILE).read_bytes()
    with running_hub() as hub:
        hub.files[f"{model.hub.repository}/resolve/{model.hub.revision}/{SMART_TURN_FILE}"] = content
        result = morgan_models(weights, "pull", SMART_TURN, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.endpoint)
    assert result.returncode == 0, result.stderr
    assert (weights / SMART_TURN / SMART_TURN_FILE).read_bytes() == content
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{SMART_TURN}: from the hub ")
    assert lines[0].endswith(" of 8.7 MB")
    assert lines[-1] == f"{SMART_TURN}: done"


def test_pull_of_what_is_here_says_so(weights: Path, models_dir: Path) -> None:
    with_smart_turn(weights, models_dir)
    result = morgan_models(weights, "pull", SMART_TURN)
    assert (result.returncode, result.stderr) == (0, f"Already here: {SMART_TURN}\n")


def test_pull_without_a_network_ends_with_a_sentence(weights: Path) -> None:
    result = morgan_models(weights, "pull", SMART_TURN)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"Model {SMART_TURN} could not be fetched ({SMART_TURN_FILE}): ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_an_unknown_model_is_answered_with_the_known_ones(weights: Path, command: str) -> None:
    result = morgan_models(weights, command, "whisper-huge")
    assert result.returncode == 1
    assert "There is no model 'whisper-huge'. Known are: whisper-base, " in result.stderr


def test_a_malformed_setting_stops_the_command_with_its_name(weights: Path) -> None:
    result = morgan_models(weights, "list", MORGAN_PROT="9000")
    assert (result.returncode, result.stdout) == (2, "")
    assert "MORGAN_PROT is not a setting (did you mean MORGAN_PORT?)" in result.stderr


def events(*phases: tuple[Any, int]) -> list[FetchProgress]:
    return [FetchProgress("tiny", phase, done, 4_000_000, "hub") for phase, done in phases]


def test_a_terminal_shows_a_bar_that_fills() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    columns = (TextColumn("{task.fields[model]}"), BarColumn(), DownloadColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        show = BarProgress(progress)
        shown = []
        for event in events(("downloading", 1_000_000), ("unpacking", 0), ("done", 4_000_000)):
            show(event)
            shown.append((progress.tasks[0].percentage, progress.tasks[0].description))
    assert shown == [(25.0, "from the hub"), (25.0, "unpacking"), (100.0, "done")]
    assert "4.0/4.0 MB" in out.getvalue()


def test_elsewhere_there_is_a_line_for_each_step_and_not_for_each_block() -> None:
    out = io.StringIO()
    show = PlainProgress(Console(file=out, width=100))
    for event in events(("downloading", 0), ("downloading", 65_536), ("downloading", 131_072), ("done", 4_000_000)):
        show(event)
    assert out.getvalue().splitlines() == ["tiny: from the hub 0.0 of 4.0 MB", "tiny: done"]
