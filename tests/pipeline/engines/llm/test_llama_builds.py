"""The builds of llama.cpp: which one computes, that its structures are the declared ones, that both say the same."""

import ctypes
import importlib.metadata
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.engines.gpu import Gpu
from pipeline.engines.llm import llama_builds
from pipeline.engines.llm.llama_api import ContextParams, LaterContextParams, declare
from pipeline.engines.llm.llama_builds import (
    NATIVE_ID,
    WHEEL_VERSION,
    Build,
    faster_here,
    folder_of_library,
    lacking_gpu,
    load_library,
    native,
    wants_cuda,
    wants_native,
)
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_slots import Tokens
from pipeline.engines.llm.llama_steps import Share
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.models import ModelCorruptError, ModelMissingError
from pipeline.processor import Machine
from pipeline.scheduling.lanes import Ticket


def test_the_version_is_the_one_that_the_project_installs(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert f"xllamacpp=={WHEEL_VERSION}" in project["optional-dependencies"]["llama"]
    assert f"\nxllamacpp=={WHEEL_VERSION}\n" in (repository / "constraints.txt").read_text()


def test_another_version_is_refused_with_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2027.1.1")
    with pytest.raises(EngineUnavailableError, match=rf"2027\.1\.1 is installed, and {WHEEL_VERSION} is needed"):
        load_library()


def again(functions: ctypes.CDLL) -> ctypes.CDLL:
    """The same library by a handle of its own, whose declarations are nobody else's."""
    return ctypes.CDLL(functions._name)


def test_a_layout_with_a_field_too_few_is_refused() -> None:
    with pytest.raises(EngineUnavailableError, match=r"structures of a library are laid out otherwise: .*offload_kqv"):
        declare(again(load_library().functions), LaterContextParams, "a library")


def test_a_layout_with_a_field_too_many_is_refused(library_dir: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="structures of a library are laid out otherwise"):
        declare(again(load_library(library_dir).functions), ContextParams, "a library")


def test_a_library_that_lacks_a_function_is_refused() -> None:
    with pytest.raises(EngineUnavailableError, match="a library has no function llama_log_set"):
        declare(ctypes.CDLL(None), ContextParams, "a library")


AMX = ("AVX2", "AVX-512", "AVX512-VNNI", "AMX-INT8")
VNNI = AMX[:3]


@pytest.mark.parametrize(
    ("sets", "cores", "threads", "faster"),
    [
        (AMX, 2, 1, True),
        (AMX, 16, 2, True),
        (AMX, 16, 8, False),
        (VNNI, 16, 1, True),
        (VNNI, 1, 2, True),
        (VNNI, 2, 2, False),
        (("AVX2", "AVX-VNNI"), 1, 1, False),
        (("AVX2",), 1, 1, False),
    ],
)
def test_one_thread_of_newer_kernels_is_weighed_against_the_threads_of_the_wheel(
    sets: tuple[str, ...], cores: int, threads: int, faster: bool
) -> None:
    assert faster_here(Machine("a processor", cores, sets, ()), threads) is faster


def test_a_build_with_a_pool_of_its_own_computes_on_one_thread() -> None:
    assert native().threads(8) == 1


def raising(error: Exception) -> Callable[[str], Path]:
    def folder_of(_: str) -> Path:
        raise error

    return folder_of


def asked(folder: Path) -> Callable[[str], Path]:
    return {NATIVE_ID: folder}.__getitem__


@pytest.mark.skipif(not wants_native("native", 1), reason="the native build is for Linux on x86-64")
def test_what_is_missing_damaged_or_does_not_load_leaves_the_wheel(tmp_path: Path) -> None:
    assert folder_of_library("native", 1, raising(ModelMissingError("not here"))) is None
    assert folder_of_library("native", 1, raising(ModelCorruptError("not whole"))) is None
    assert folder_of_library("native", 1, asked(tmp_path)) is None
    (tmp_path / "libggml-base.so").write_bytes(b"\x7fELF of another machine")
    assert folder_of_library("native", 1, asked(tmp_path)) is None


def test_the_kernels_of_no_processor_here_leave_the_wheel(library_dir: Path, tmp_path: Path) -> None:
    for path in library_dir.glob("*.so"):
        if "-cpu-" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(EngineUnavailableError, match="no kernels for this processor"):
        load_library(tmp_path)


def test_the_wheel_computes_where_it_is_asked_for(library_dir: Path) -> None:
    assert folder_of_library("wheel", 1, asked(library_dir)) is None
    assert folder_of_library("native", 1, asked(library_dir)) == library_dir


TEXT = "The sea was calm that morning, and the fishermen had gone out before the sun was up. When they came back, the"


def scores(weights: Path, library: Path | None) -> tuple[Build, np.ndarray, list[int]]:
    """Scores of the token behind a text, and the twelve likeliest tokens one after the other."""
    model = NativeModel(find_gguf(weights), load_library(library))
    context = NativeContext(model, slots=1, n_ctx=256, batch=64, threads=1)
    tokens = Tokens(Ticket(), 1, "talk", list(model._tokenize(TEXT, False)), served_at=0.0)
    tokens.slot = 0
    said: list[int] = []
    first = None
    try:
        for _ in range(12):
            count = tokens.pending
            [logits] = context.evaluate([Share(tokens, count)]).values()
            tokens.evaluated += count
            first = logits.copy() if first is None else first
            said.append(int(logits.argmax()))
            tokens.ids.append(said[-1])
    finally:
        context.close()
        model.close()
    assert first is not None
    return model.build, first, said


def test_both_builds_score_the_next_token_alike(models_dir: Path, library_dir: Path) -> None:
    weights = models_dir / "smollm2-135m-instruct"
    (wheel, one, said), (other, two, also_said) = scores(weights, None), scores(weights, library_dir)
    assert (wheel.name, other.name) == ("wheel", "native")
    # They round activations otherwise. Of 49,152 scores with a spread of several units each.
    assert float(np.corrcoef(one, two)[0, 1]) > 0.995
    assert set(np.argsort(one)[-3:]) & set(np.argsort(two)[-3:])
    assert said[0] == also_said[0]


CARD = Gpu("a card", (9, 0), (12, 8))


@pytest.mark.parametrize(
    ("card", "device", "wanted"),
    [(CARD, "auto", True), (CARD, "cpu", False), (None, "auto", False), (None, "cuda", True)],
)
def test_kernels_for_a_gpu_are_wanted_where_there_is_one_or_they_are_asked_for(
    card: Gpu | None, device: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_builds, "gpu", lambda: card)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert wants_cuda(device) is wanted


def test_an_old_driver_is_told_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_builds, "gpu", lambda: Gpu("a card", (7, 5), (11, 4)))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert lacking_gpu() == "the driver of a card knows CUDA 11.4, and llama.cpp needs 12.4: update the driver"
    assert not wants_cuda("auto")


def test_kernels_that_see_no_gpu_say_what_they_need(library_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "libggml-cuda.so").write_bytes(b"\x7fELF for libcublas.so.12, which is not here")
    with pytest.raises(EngineUnavailableError, match=r"sees no GPU: .*libcublas\.so\.12.*set the device to cpu"):
        load_library(library_dir, tmp_path)
