"""How wise language models are: as it was measured on this machine, or as the manifest has it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.models import Manifest
from server.app import Server
from server.engines.score_book import keep_score, load_scores, right_of
from server.settings import Settings
from tests.server.scripted import Mind, scripted_engines
from tests.serving import free_port

QUICK = "smollm2-135m-instruct"


def settings_in(folder: Path, **settings: Any) -> Settings:
    return Settings(models_dir=folder, **settings)


def test_scores_are_kept_by_model_and_by_endpoint(tmp_path: Path) -> None:
    assert load_scores(settings_in(tmp_path)) == {}
    keep_score(settings_in(tmp_path, llm_model=QUICK), 25)
    keep_score(settings_in(tmp_path, llm_model="llama3.2:3b", llm_base_url="http://localhost:11434/v1"), 51)
    keep_score(settings_in(tmp_path, llm_model=QUICK), 26)
    assert load_scores(settings_in(tmp_path)) == {QUICK: 26, "llama3.2:3b at http://localhost:11434/v1": 51}


def test_what_was_asked_here_goes_before_the_manifest() -> None:
    model = Manifest.load().get(QUICK)
    assert model.mind is not None
    known = replace(model, mind=replace(model.mind, right=26))
    assert (right_of(QUICK, {}, known), right_of(QUICK, {QUICK: 30}, known)) == (26, 30)
    assert right_of("own.gguf", {}) is None


def test_a_file_that_is_none_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "minds.json").write_text("[]")
    assert load_scores(settings_in(tmp_path)) == {}


@pytest.mark.parametrize(("kept", "told"), [(26, {"right_of_60": 26}), (None, {})])
async def test_clients_are_told_how_wise_the_loaded_model_is(
    tmp_path: Path, kept: int | None, told: dict[str, Any]
) -> None:
    settings = settings_in(tmp_path, memory="off", port=free_port(), data_dir=tmp_path, llm_model="own-mind")
    if kept is not None:
        keep_score(settings, kept)
    mind = Mind("Hello.")
    mind.model_id = "own-mind"  # type: ignore[attr-defined]
    server = await Server.start(settings, replace(scripted_engines(), llm=mind))
    try:
        async with aiohttp.ClientSession(server.url) as http, http.get("/v1/models/script") as response:
            shown = await response.json()
    finally:
        await server.stop()
    wisdom = {name: shown[name] for name in ("right_of_60", "calls_tools", "sees_images") if name in shown}
    assert wisdom == {"calls_tools": False, "sees_images": False, **told}
