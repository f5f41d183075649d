"""Tools of a server: how they are declared, with which language models they are used, and who is told otherwise."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import LanguageModel
from pipeline.engines.remote.openai_chat import OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.models import ModelStore
from pipeline.tools.errors import ToolSetupError
from server.cli.check import Check
from server.cli.checks import check_tools
from server.conversations.tools import build_toolbox
from server.settings import Settings, SettingsError, load_settings

TOOL = {"name": "weather", "description": "The weather.", "function": "tests.pipeline.tools.functions:weather"}
GONE = {**TOOL, "function": "tests.pipeline.tools.functions:gone"}
URL = "http://127.0.0.1:9/v1"


def declared(monkeypatch: pytest.MonkeyPatch, *tools: dict[str, Any], url: str = "") -> Settings:
    """Settings as `morgan serve` reads them from the environment."""
    monkeypatch.setenv("MORGAN_TOOLS", json.dumps(tools))
    if url:
        monkeypatch.setenv("MORGAN_LLM_BASE_URL", url)
    return load_settings()


@pytest.fixture
async def upstream() -> AsyncIterator[LanguageModel]:
    engine = OpenAiChat(Endpoint(URL), "small")
    yield engine
    await engine.close()


async def test_tools_are_declared_in_toml_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: LanguageModel
) -> None:
    file = tmp_path / "morgan.toml"
    file.write_text(
        '[[tools]]\nname = "weather"\ndescription = "The weather."\nurl = "http://127.0.0.1:9/weather"\n'
        'timeout_s = 3\nheaders = {Authorization = "Bearer of-the-weather"}\n'
        '[tools.parameters]\ntype = "object"\nrequired = ["city"]\nproperties = {city = {type = "string"}}\n'
    )
    monkeypatch.setenv("MORGAN_CONFIG", str(file))
    settings = load_settings()
    assert "of-the-weather" not in repr(settings)
    box = build_toolbox(settings, upstream)
    (spec,) = box.specs
    assert (spec.name, spec.parameters["required"]) == ("weather", ["city"])
    await box.close()


async def test_a_model_in_process_is_given_none(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = ModelStore(models_dir).path("smollm2-135m-instruct")
    engine = LlamaCppLanguageModel(LlamaOptions(weights, threads=1, slots=1))
    assert build_toolbox(declared(monkeypatch, TOOL), engine).specs == ()
    await engine.close()


async def test_a_function_that_is_gone_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, upstream: LanguageModel
) -> None:
    with pytest.raises(ToolSetupError, match=r"tool weather: .*gone is not there"):
        build_toolbox(declared(monkeypatch, GONE), upstream)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("weather", "it must be JSON"),
        (json.dumps([TOOL, TOOL]), "two tools have the same name"),
        (json.dumps([{**TOOL, "name": "the weather"}]), "tools.0.name"),
        (json.dumps([{**TOOL, "parameters": {"type": "object", "properties": 7}}]), "is no JSON schema"),
    ],
)
def test_what_makes_no_sense_stops_the_start_and_is_named(
    value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORGAN_TOOLS", value)
    with pytest.raises(SettingsError, match=told):
        load_settings()


def doctor(settings: Settings) -> list[Check]:
    return list(check_tools(settings))


def test_the_doctor_says_what_tools_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor(load_settings()) == []
    (in_process,) = doctor(declared(monkeypatch, TOOL))
    assert in_process.verdict == "warn"
    assert "MORGAN_LLM_BASE_URL" in in_process.advice
    assert [check.verdict for check in doctor(declared(monkeypatch, TOOL, url=URL))] == ["ok"]
    assert [check.verdict for check in doctor(declared(monkeypatch, GONE, url=URL))] == ["fail"]
