"""Weights in the form that this machine reads fastest.

Without AMX, llama.cpp has no tiled kernels for some of the older quantisations (Q4_1, Q5_0, Q5_1): each token of a
prompt then costs as much as one of a reply. The same weights written as Q8_0 lose nothing and read faster, SmolLM2-135M
a prompt of 20 tokens in two thirds of the time (two cores: 66 -> 45 ms, perplexity 7.69 -> 7.68).

Files whose name says Q4_K_M have such tensors too, where their rows are no multiple of 256 numbers: a third of
Qwen2.5-0.5B is Q5_0. Its large ones become IQ4_NL, which halves what is read for each token: with that it reads 12
tokens in 0.72 to 0.76 of the time that the file itself takes and writes one in 0.56 to 0.73 (medians of 14 rounds in
turns, Zen 4, one and two threads of the wheel, whose kernels are those of AVX2 on every processor; all in Q8_0: 0.95
and 0.86 to 1.02 in that run). Perplexity is 23.7 in place of 23.3; of two times sixty questions 48 and 44 were answered
right, in Q8_0 47 and 45.

With AMX (`llama_builds.native`) there are such kernels, and the weights are taken as they come: a token of a reply
takes 13 ms, of the copy 20.
"""

import contextlib
import glob
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import structlog

from pipeline.engines.llm.llama_api import GgufInit
from pipeline.engines.llm.llama_builds import Llama, load_library
from pipeline.engines.llm.llama_native import find_gguf
from pipeline.engines.llm.requantize import SLOW_TYPES, is_slow
from pipeline.engines.protocols import EngineUnavailableError

LARGEST: Final = 800_000_000
"""Bytes of a file beyond which it is left alone: large models are bound by memory, and smaller is faster."""

WORTHWHILE: Final = 0.25
"""Share of a file that is in slow forms, at least, to be written anew."""

REVISION: Final = 3
"""Counts the changes of what is written anew: copies from before one are not loaded, nor their speeds believed."""

LIMIT_S: Final = 600.0
"""For writing a copy; half a gigabyte takes 45 s of one core."""

log = structlog.get_logger(__name__)


def quick_weights(path: Path, cache: Path, llama: Llama | None = None) -> Path:
    """The file to load for a model: itself, or a copy in quicker forms, made when it is not there yet.

    Args:
        path: a GGUF file, or a folder with one.
        cache: folder of the copies.
        llama: the build of llama.cpp that will compute; None for the wheel's.

    Raises:
        EngineUnavailableError: there is no such file, or llama.cpp is not installed.
    """
    source = find_gguf(path)
    size = source.stat().st_size
    if size > LARGEST:
        return source
    llama = llama or load_library()
    if llama.build.reads_all or slow_bytes(source, llama.functions) < WORTHWHILE * size:
        return source
    copies = f"{source.stem}-{size}"
    copy = cache / f"{copies}-{REVISION}.quick.gguf"
    if not copy.is_file():
        try:
            _write(source, copy)
            for older in set(cache.glob(f"{glob.escape(copies)}*.gguf")) - {copy}:
                older.unlink()
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("weights are used as they are", reason=str(error))
            return source
    return copy


def slow_bytes(path: Path, library: Any) -> int:
    """Bytes of a GGUF file that llama.cpp is slow to read, without reading them.

    Args:
        path: the file.
        library: llama.cpp.

    Raises:
        EngineUnavailableError: it is no GGUF file.
    """
    file = library.gguf_init_from_file(os.fsencode(path), GgufInit(no_alloc=True, context=None))
    if not file:
        raise EngineUnavailableError(f"{path} is not a GGUF model: run `morgan models pull`")
    try:
        tensors = range(library.gguf_get_n_tensors(file))
        names = [library.gguf_get_tensor_name(file, index).decode() for index in tensors]
        slow = [index for index in tensors if library.gguf_get_tensor_type(file, index) in SLOW_TYPES]
        return sum(library.gguf_get_tensor_size(file, index) for index in slow if is_slow(names[index], names))
    finally:
        library.gguf_free(file)


def _write(source: Path, copy: Path) -> None:
    """Make a copy in a process of its own: for seconds it would hold Python up, and its memory would not come back."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of this process, so that two that start together do not write into one another's file.
    part = copy.with_suffix(f".{os.getpid()}.part")
    command = [sys.executable, "-m", "pipeline.engines.llm.requantize", str(source), str(part)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
        if ran.returncode:
            raise OSError((ran.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        part.replace(copy)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
