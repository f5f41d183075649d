"""Whether a language model computes on this GPU, tried in a process of its own, which ggml ends where CUDA fails.

An H200 whose driver knew CUDA 13.0 was such a case, with kernels that had been compiled by a later version.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from pipeline.engines.gpu import load_cuda_libraries
from pipeline.engines.llm.llama_builds import load_library
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_slots import Tokens
from pipeline.engines.llm.llama_steps import Share
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.scheduling.lanes import Ticket

LIMIT_S: Final = 600.0
"""For a trial. A driver that meets these kernels for the first time compiles them: 40 s on an H200, and then 1 s."""

PROMPT: Final = 64
"""Tokens that are read at once, before one is read alone: the kernels of both are others."""


def try_on_gpu(weights: Path, library: Path, kernels: Path, layers: int) -> None:
    """Have a model read a prompt and a token on the GPU.

    Args:
        weights: a GGUF file, or a folder with one.
        library: folder of llama.cpp.
        kernels: folder of its kernels for GPUs.
        layers: on the GPU.

    Raises:
        EngineUnavailableError: it cannot; the message has llama.cpp's own last word.
    """
    given = (str(weights), str(library), str(kernels), str(layers))
    command = [sys.executable, "-m", __name__, *given]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailableError(f"llama.cpp cannot be tried on the GPU: {error}") from error
    if ran.returncode:
        raise EngineUnavailableError(f"llama.cpp fails on the GPU: {_last_word(ran.stdout + ran.stderr)}")


def _last_word(printed: str) -> str:
    """The line that tells what went wrong, among a backtrace and all else."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    of_cuda = [line for line in lines if line.startswith("CUDA error")]
    return (of_cuda[:1] or lines[-1:] or ["it ended without a word"])[0]


def _compute(weights: Path, library: Path, kernels: Path, layers: int) -> None:
    load_cuda_libraries()
    model = NativeModel(find_gguf(weights), load_library(library, kernels, verbose=True), layers)
    context = NativeContext(model, slots=1, n_ctx=256, batch=PROMPT, threads=1)
    tokens = Tokens(Ticket(), 1, "", [*range(PROMPT)], served_at=0.0)
    tokens.slot = 0
    for count in (PROMPT, 1):
        [logits] = context.evaluate([Share(tokens, count)]).values()
        tokens.evaluated += count
        tokens.ids.append(int(logits.argmax()))
    context.close()
    model.close()


if __name__ == "__main__":
    _weights, _library, _kernels, _layers = sys.argv[1:]
    _compute(Path(_weights), Path(_library), Path(_kernels), int(_layers))
