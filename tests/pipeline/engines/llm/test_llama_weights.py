"""Weights that are slow to read are kept in a quicker form, and nothing else is touched."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.engines.llm.llama_builds import Llama, load_library
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.llm.llama_weights import quick_weights
from pipeline.engines.protocols import ChatRequest, EngineUnavailableError, Message
from pipeline.scheduling.lanes import Ticket


async def first_words(weights: Path) -> str:
    """The beginning of a greedy reply."""
    model = LlamaCppLanguageModel(LlamaOptions(weights, threads=1, slots=1))
    try:
        asked = (Message("system", "You are a helpful assistant."), Message("user", "What is the capital of France?"))
        request = ChatRequest(asked, max_tokens=8)
        return "".join([delta.text async for delta in model.stream(request, Ticket())])
    finally:
        await model.close()


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_a_copy_is_made_once_and_says_the_same(models_dir: Path, tmp_path: Path) -> None:
    source = models_dir / "smollm2-135m-instruct"
    copy = quick_weights(source, tmp_path)
    assert copy.parent == tmp_path
    made = copy.stat().st_mtime_ns
    assert quick_weights(source, tmp_path) == copy
    assert copy.stat().st_mtime_ns == made
    assert names(tmp_path) == [copy.name]
    assert "Paris" in await first_words(copy)
    # The copy itself is quick already.
    assert quick_weights(copy, tmp_path / "again") == copy


def test_a_build_that_reads_all_forms_quickly_gets_the_file_itself(models_dir: Path, tmp_path: Path) -> None:
    wheel = load_library()
    tiled = Llama(wheel.functions, replace(wheel.build, reads_all=True))
    source = models_dir / "smollm2-135m-instruct"
    assert quick_weights(source, tmp_path, tiled).parent == source
    assert names(tmp_path) == []


def test_a_copy_that_cannot_be_written_does_not_stop_the_start(models_dir: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    source = models_dir / "smollm2-135m-instruct"
    assert quick_weights(source, blocked).parent == source


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "model.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(EngineUnavailableError, match=r"model\.gguf"):
        quick_weights(bad, tmp_path)
