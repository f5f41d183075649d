"""Whether a language model computes on this GPU, tried in a process of its own, which ggml ends where CUDA fails.

An H200 whose driver knew CUDA 13.0 was such a case, with kernels that had been compiled by a later version.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from pipeline.engines.gpu import load_cuda_libraries
from pipeline.engines.llm.llama_builds import load_library
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_slots import Tokens
from pipeline.engines.llm.llama_steps import GPU_LIMITS, Share
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.scheduling.lanes import Ticket

LIMIT_S: Final = 600.0
"""For a trial. A driver that meets these kernels for the first time compiles them, those of one prompt and one token in
40 s on an H200; it keeps them, and later trials take 1 s."""

CONVERSATIONS: Final = 4
"""Side by side, at most."""


def try_on_gpu(weights: Path, library: Path, kernels: Path, layers: int) -> None:
    """Have a model read on the GPU what it may be given there.

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


def steps(most: int) -> list[tuple[int, ...]]:
    """Steps that a model is tried with: the tokens of each conversation in one.

    llama.cpp has other kernels for one token, for a few and for many, and for several conversations. The driver
    compiles each when it is first wanted; on an H200 callers had no word for 3 to 5 s where that was in a call.

    Args:
        most: tokens of a conversation in one step.
    """
    alone = [(most >> halved,) for halved in range(most.bit_length())]
    together = [(count,) * conversations for conversations in (2, CONVERSATIONS) for count in (1, 8, 32)]
    return [*alone, *together]


def read_all(context: NativeContext, most: int) -> list[float]:
    """Have each of `steps` read, in a context for `tokens_of` each of so many conversations; seconds of each."""
    took: list[float] = []
    read = [Tokens(Ticket(), 1, "", [], served_at=0.0) for _ in range(CONVERSATIONS)]
    for slot, tokens in enumerate(read):
        tokens.slot = slot
    for counts in steps(most):
        began = time.perf_counter()
        shares = [Share(tokens, count) for tokens, count in zip(read, counts, strict=False)]
        for tokens, count in shares:
            tokens.ids.extend(range(count))
        for logits in context.evaluate(shares).values():
            logits.argmax()
        for tokens, count in shares:
            tokens.evaluated += count
        took.append(time.perf_counter() - began)
    return took


def tokens_of(most: int) -> int:
    """Tokens of the longest conversation in `steps`."""
    return sum(counts[0] for counts in steps(most))


def _last_word(printed: str) -> str:
    """The line that tells what went wrong, among a backtrace and all else."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    of_cuda = [line for line in lines if line.startswith("CUDA error")]
    return (of_cuda[:1] or lines[-1:] or ["it ended without a word"])[0]


def _compute(weights: Path, library: Path, kernels: Path, layers: int) -> None:
    load_cuda_libraries()
    model = NativeModel(find_gguf(weights), load_library(library, kernels, verbose=True), layers)
    most = GPU_LIMITS.chunk
    context = NativeContext(model, slots=CONVERSATIONS, n_ctx=tokens_of(most), batch=most, threads=1)
    read_all(context, most)
    context.close()
    model.close()


if __name__ == "__main__":
    _weights, _library, _kernels, _layers = sys.argv[1:]
    _compute(Path(_weights), Path(_library), Path(_kernels), int(_layers))
