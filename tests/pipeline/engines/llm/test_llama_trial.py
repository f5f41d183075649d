"""A language model is tried on the GPU in a process of its own, whose end is told and not shared."""

from pathlib import Path

import pytest

from pipeline.engines.llm.llama_builds import load_library
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_steps import GPU_LIMITS
from pipeline.engines.llm.llama_trial import CONVERSATIONS, _last_word, read_all, steps, tokens_of, try_on_gpu
from pipeline.engines.protocols import EngineUnavailableError
from tests.pipeline.engines.speech import model

ABORT = """load: special tokens cache size = 17
CUDA error: the provided PTX was compiled with an unsupported toolchain.
  current device: 0, in function ggml_cuda_kernel_can_use_pdl at common.cuh:1679
/models/libggml-base.so(+0x1c8eb)[0x7f8d05d4d8eb]
/lib/x86_64-linux-gnu/libc.so.6(+0x129ecc)[0x7f8f57d29ecc]
"""


def test_of_an_abort_cudas_own_word_is_told_and_not_the_backtrace() -> None:
    assert _last_word(ABORT) == "CUDA error: the provided PTX was compiled with an unsupported toolchain."
    assert _last_word("Traceback\n  x\nRuntimeError: it broke\n") == "RuntimeError: it broke"
    assert _last_word("") == "it ended without a word"


def test_a_process_that_ends_is_an_error_that_a_caller_can_catch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho 'CUDA error: out of memory'\nkill -ABRT $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    with pytest.raises(EngineUnavailableError, match=r"llama\.cpp fails on the GPU: CUDA error: out of memory"):
        try_on_gpu(tmp_path, tmp_path, tmp_path, 999)


def test_a_step_of_every_size_is_tried_alone_and_with_other_conversations() -> None:
    tried = steps(GPU_LIMITS.chunk)
    alone = {counts[0] for counts in tried if len(counts) == 1}
    assert all(any(size <= each < 2 * size for size in alone) for each in range(1, GPU_LIMITS.chunk + 1))
    assert {len(counts) for counts in tried} == {1, 2, CONVERSATIONS}
    assert all(sum(counts) <= GPU_LIMITS.chunk for counts in tried)


def test_a_model_reads_all_of_them() -> None:
    read = NativeModel(find_gguf(model("smollm2-135m-instruct")), load_library(), 0)
    context = NativeContext(read, slots=CONVERSATIONS, n_ctx=tokens_of(64), batch=4 * 32, threads=1)
    try:
        read_all(context, 64)
    finally:
        context.close()
        read.close()


def test_where_there_is_no_gpu_the_trial_says_what_is_missing(library_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="sees no GPU"):
        try_on_gpu(model("smollm2-135m-instruct"), library_dir, tmp_path, 999)
