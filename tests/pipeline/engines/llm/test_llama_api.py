"""llama.cpp's structures are those of the version that is installed, and another version is refused."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from pipeline.engines.llm.llama_api import VERSION, ContextParams, ModelParams, load_library
from pipeline.engines.protocols import EngineUnavailableError


def test_the_version_is_the_one_that_the_project_installs(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert f"xllamacpp=={VERSION}" in project["optional-dependencies"]["llama"]
    assert f"\nxllamacpp=={VERSION}\n" in (repository / "constraints.txt").read_text()


def test_the_defaults_of_llama_cpp_arrive_in_their_fields() -> None:
    library = load_library()
    model: ModelParams = library.llama_model_default_params()
    assert (model.n_gpu_layers, model.vocab_only, model.check_tensors, model.use_extra_bufts) == (
        -1,
        False,
        False,
        True,
    )
    context: ContextParams = library.llama_context_default_params()
    assert (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max) == (512, 2048, 512, 1)
    assert (context.yarn_beta_slow, context.defrag_thold) == (-1.0, -1.0)
    # 1 is 16 bits; those behind it tell whether a field was added or lost in between.
    assert (context.type_k, context.type_v, context.moe_cache_size, context.abort_callback) == (1, 1, 0, None)
    assert (context.offload_kqv, context.kv_unified, context.samplers, context.ctx_other) == (True, False, None, None)


def test_another_version_is_refused_with_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2027.1.1")
    with pytest.raises(EngineUnavailableError, match=rf"2027\.1\.1 is installed, and {VERSION} is needed"):
        load_library()
