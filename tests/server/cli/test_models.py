"""`morgan models`, as its users run it."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from pipeline.models import FetchProgress, Manifest
from server.cli.models import BarProgress, PlainProgress
from server.engines.score_book import keep_score
from server.settings import Settings
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


def use(weights: Path, *arguments: str, **environ: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """`morgan models use`, and the settings file behind it."""
    config = weights.parent / ".config" / "morgan" / "morgan.toml"
    result = morgan_models(weights, "use", *arguments, HOME=str(weights.parent), **environ)
    return result, tomllib.loads(config.read_text()) if config.exists() else {}


def test_use_auto_and_a_file_here_are_settings_of_the_next_start(weights: Path) -> None:
    result, kept = use(weights, "auto")
    assert (result.returncode, kept) == (0, {"llm_model": "auto"})
    assert "auto answers from the next start on" in result.stdout
    mind = weights.parent / "mind.gguf"
    mind.write_bytes(b"GGUF")
    _, kept = use(weights, str(mind))
    assert kept == {"llm_model": str(mind)}


def test_use_of_an_endpoint_asks_it_for_its_first_model_and_of_a_name_leaves_it(weights: Path) -> None:
    with running_hub() as endpoint:
        endpoint.files["v1/models"] = json.dumps({"data": [{"id": "qwen3:4b"}, {"id": "llama3.2:3b"}]}).encode()
        url = f"{endpoint.endpoint}/v1"
        assert use(weights, url)[1] == {"llm_base_url": url, "llm_model": "qwen3:4b"}
        assert use(weights, url, "--model", "llama3.2:3b")[1] == {"llm_base_url": url, "llm_model": "llama3.2:3b"}
    assert use(weights, "auto")[1] == {"llm_model": "auto"}


def test_use_of_a_file_of_the_hub_fetches_it_by_the_hash_that_the_hub_tells(weights: Path) -> None:
    content, commit = b"GGUF" + b"weights" * 1000, "1" * 40
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    told = {"sha": commit, "siblings": [{"rfilename": "mind.gguf", "size": len(content), "lfs": lfs}]}
    with running_hub() as hub:
        hub.files["api/models/owner/mind?blobs=true"] = json.dumps(told).encode()
        hub.files[f"owner/mind/resolve/{commit}/mind.gguf"] = content
        online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.endpoint}
        result, kept = use(weights, "hf:owner/mind/mind.gguf", **online)
    assert result.returncode == 0, result.stderr
    assert kept == {"llm_model": "owner-mind"}
    assert (weights / "owner-mind" / "mind.gguf").read_bytes() == content
    assert "owner-mind" in morgan_models(weights, "list", COLUMNS="160").stdout


def test_use_of_what_there_is_not_changes_nothing_and_names_what_there_is(weights: Path) -> None:
    result, kept = use(weights, "gpt-17")
    assert (result.returncode, kept) == (2, {})
    assert "there is no language model gpt-17: smollm2-135m-instruct, " in result.stderr


def test_use_says_so_where_the_environment_goes_before_the_file(weights: Path) -> None:
    result, kept = use(weights, "auto", MORGAN_LLM_MODEL="smollm2-135m-instruct")
    assert (result.returncode, kept) == (2, {})
    assert "MORGAN_LLM_MODEL is set in the environment" in result.stderr


def test_list_tells_of_every_mind_how_wise_it_is_how_fast_here_and_which_one_answers(weights: Path) -> None:
    minds = {model.id: model.mind for model in Manifest.load().models if model.mind is not None}
    sizes = {model.id: model.size for model in Manifest.load().models}
    keep_score(Settings(models_dir=weights, llm_model="qwen3-1.7b"), 47)
    shown = morgan_models(weights, "list", COLUMNS="160", MORGAN_LLM_MODEL="qwen3-1.7b").stdout
    table = shown[shown.index("Language models") :].splitlines()
    for model_id, mind in minds.items():
        line = next(line for line in table if f" {model_id} " in line)
        right = 47 if model_id == "qwen3-1.7b" else mind.right
        assert (str(right) if right is not None else "not asked") in line
        assert f"{sizes[model_id] / 1e6:,.0f}" in line
        assert "not measured" in line
        assert line.lstrip().startswith("*") is (model_id == "qwen3-1.7b")


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
