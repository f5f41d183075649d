"""The builds of llama.cpp that Morgan computes with: the wheel, and shared libraries with kernels for newer processors.

The wheel `xllamacpp` brings llama.cpp as one shared library that is a Python module too; that module offers a whole
server, whose slots know no urgency, and is left alone. Its kernels know AVX2 and nothing newer. The native build,
shared libraries out of an npm package that `pipeline/models.toml` names, has kernels for AVX512-VNNI and AMX as well,
and takes those of this processor when it is loaded.
"""

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from pipeline.engines.device import NO_GPU
from pipeline.engines.gpu import gpu
from pipeline.engines.llm.llama_api import LOG, ContextParams, LaterContextParams, LogCallback, declare
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.models.errors import ModelError, ModelMissingError
from pipeline.processor import Machine, has_amx, this_machine

WHEEL_VERSION: Final = "2026.10.11549"
"""Of `xllamacpp`, whose structures `ContextParams` has (llama.cpp b11549); pyproject.toml names the same."""

NATIVE_ID: Final = "llama-cpp-x86-64"
"""Of the native build, in `pipeline/models.toml`."""

ANY_ID: Final = "llama-cpp-x86-64-any"
"""Of the same with kernels for every processor, beside those for GPUs."""

CUDA_ID: Final = "llama-cpp-x86-64-cuda"
"""Of its kernels for NVIDIA's GPUs, likewise."""

CUDA_NEEDS: Final = (12, 4)
"""The version of CUDA that the driver has to know at least."""

LibraryChoice = Literal["auto", "wheel", "native"]
"""Which build computes; native: where it is there and loads; auto: if it is faster here, too."""

_BASE: Final = "libggml-base.so"
_GGML: Final = "libggml.v0.5.0.so"
_LLAMA: Final = "libllama.v0.5.0.so"
_KERNELS: Final = "libggml-cuda.so"
_GPU_DEVICE: Final = 1
"""`GGML_BACKEND_DEVICE_TYPE_GPU`."""
_REMEDY = (
    "install it with `pip install 'morgan-voice[llama]'`, or set an OpenAI-compatible endpoint for the language model"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Build:
    """A build of llama.cpp.

    Attributes:
        name: as `LibraryChoice` has it.
        title: for people, with its version.
        context_params: its layout of `llama_context_params`.
        most_threads: that may compute; None for as many as one likes.
        repacks: weights are laid out anew at loading, for the processor's own kernels (`use_extra_bufts`).
        reads_all: its kernels read prompts of every quantisation in tiles, so that no copy of the weights is quicker.
        offloads: layers can be put on a GPU.
    """

    name: Literal["wheel", "native", "cuda"]
    title: str
    context_params: type[ctypes.Structure]
    most_threads: int | None
    repacks: bool
    reads_all: bool
    offloads: bool = False

    def threads(self, wanted: int) -> int:
        """Threads of the computation, of so many that it may have."""
        return wanted if self.most_threads is None else min(wanted, self.most_threads)


@dataclass(frozen=True, slots=True)
class Llama:
    """A loaded build: its functions, with what they take and return."""

    functions: Any
    build: Build


def wheel() -> Build:
    """The build of the wheel, on this processor."""
    # Where it was built for this very processor it has tiles of AMX, and its threads are OpenMP's, which oneDNN and
    # MLAS may use too: see `native`. As it is published it has none, and loses nothing by this.
    return Build("wheel", f"xllamacpp {WHEEL_VERSION}", ContextParams, None, repacks=not has_amx(), reads_all=False)


def native() -> Build:
    """The native build, on this processor.

    Its kernels set the tiles of AMX up once a thread. Another library that computes on that thread (oneDNN, MLAS) gives
    them back, and the next multiplication is an illegal instruction: so its threads have to be llama.cpp's alone. With
    one thread that is the worker's own, on which nothing else multiplies matrices (`test_llama_beside_others.py`).
    And one it is, because the threads of this build meet at ggml's own barrier, which spins until all are there,
    however long another program keeps one of the cores.
    """
    return Build("native", "llama.cpp v0.5.0", LaterContextParams, 1, repacks=True, reads_all=has_amx())


def cuda() -> Build:
    """The build for NVIDIA's GPUs; what it leaves to the CPU takes one thread, as in `native`."""
    title = "llama.cpp v0.5.0 with CUDA"
    return Build("cuda", title, LaterContextParams, 1, repacks=True, reads_all=True, offloads=True)


def lacking_gpu() -> str:
    """Why the build for NVIDIA's GPUs cannot compute on the GPU that is here; "" where it should."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "there is a build of llama.cpp with CUDA for Linux on x86-64 alone; the transformers engine does without"
    card = gpu()
    if card is None:
        return NO_GPU
    if card.cuda < CUDA_NEEDS:
        known, needed = (".".join(map(str, version)) for version in (card.cuda, CUDA_NEEDS))
        return f"the driver of {card.name} knows CUDA {known}, and llama.cpp needs {needed}: update the driver"
    return ""


def wants_cuda(device: str) -> bool:
    """Whether the build for NVIDIA's GPUs is to compute on this machine, be it there or not.

    Args:
        device: "auto", "cpu" or "cuda".
    """
    return device == "cuda" or (device == "auto" and gpu() is not None and not lacking_gpu())


def faster_here(machine: Machine, threads: int) -> bool:
    """Whether the native build, on its one thread, is faster than the wheel on as many as it may have.

    Measured with SmolLM2-135M on Sapphire Rapids, 30 tokens of a prompt and one of a reply. With AMX 0.35 and 0.43 of
    the time of the wheel on one thread, 0.54 and 0.70 of that on two; with AVX512-VNNI 0.8 and 0.9 on one, 1.2 and 1.4
    on two; with AVX-VNNI alone as long as the wheel.

    Args:
        machine: the processor.
        threads: that the language model may have.
    """
    usable = min(threads, machine.cores)
    return usable <= 2 if "AMX-INT8" in machine.sets else "AVX512-VNNI" in machine.sets and usable == 1


def wants_native(choice: LibraryChoice, threads: int) -> bool:
    """Whether the native build is to compute on this machine, be it there or not.

    Args:
        choice: which build is asked for.
        threads: that the language model may have.
    """
    if choice == "wheel" or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return False
    return choice == "native" or faster_here(this_machine(), threads)


def folder_of_library(choice: LibraryChoice, threads: int, folder_of: Callable[[str], Path]) -> Path | None:
    """Folder of the native build if that is to compute, is there and loads; None for the wheel.

    Args:
        choice: which build is asked for.
        threads: that the language model may have.
        folder_of: folder of something in `pipeline/models.toml`, by its id; raises `pipeline.models.ModelError`.
    """
    if not wants_native(choice, threads):
        return None
    try:
        folder = folder_of(NATIVE_ID)
        load_library(folder)
    except ModelMissingError:
        return None
    except (ModelError, EngineUnavailableError) as error:
        log.warning("llama.cpp computes out of its wheel", reason=str(error))
        return None
    return folder


def load_library(folder: Path | None = None, kernels: Path | None = None, *, verbose: bool = False) -> Llama:
    """llama.cpp, loaded once.

    Args:
        folder: of the native build; None for the wheel.
        kernels: folder of kernels for GPUs, beside that build; None for the CPU alone.
        verbose: let it print its log from now on.

    Raises:
        EngineUnavailableError: it is not installed, of another version, not for this machine, or does not load.
    """
    LOG.verbose = verbose
    return _wheel(_shared_library()) if folder is None else _native(folder, kernels)


@functools.cache
def _wheel(path: Path) -> Llama:
    # GNU OpenMP reads it when it is loaded. A token has hundreds of barriers, at which threads spin for up to 15 ms by
    # default: where anything else wants one of the cores, 32 prompt tokens took 2-14 s. Spinning for 50 µs and then
    # sleeping takes 0.26-0.40 s there and costs nothing on a quiet machine (not spinning at all does: 34 ms a token
    # instead of 11).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        # The wheel leaves OpenMP to the system.
        hint = "install libgomp (Debian, Ubuntu: apt-get install libgomp1)" if "libgomp" in str(error) else _REMEDY
        raise EngineUnavailableError(f"llama.cpp does not load on this machine ({error}): {hint}") from error
    build = wheel()
    declare(library, build.context_params, build.title)
    return Llama(library, build)


@functools.cache
def _native(folder: Path, kernels: Path | None) -> Llama:
    build = native() if kernels is None else cuda()
    try:
        # Each finds the others beside itself. Not RTLD_GLOBAL: the wheel has functions of the same names.
        base, ggml, library = (ctypes.CDLL(str(folder / name)) for name in (_BASE, _GGML, _LLAMA))
    except OSError as error:
        raise EngineUnavailableError(f"{build.title} does not load on this machine ({error})") from error
    base.ggml_log_set.argtypes = (LogCallback, ctypes.c_void_p)
    base.ggml_log_set(LOG.callback, None)
    ggml.ggml_backend_load_all_from_path.argtypes = (ctypes.c_char_p,)
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    if not ggml.ggml_backend_dev_count():
        raise EngineUnavailableError(f"{build.title} has no kernels for this processor")
    if kernels is not None and not _sees_gpu(ggml, kernels):
        raise EngineUnavailableError(
            f"{build.title} sees no GPU: it needs libcudart.so.12 and libcublas.so.12 (pip install "
            "nvidia-cuda-runtime-cu12 nvidia-cublas-cu12), or set the device to cpu"
        )
    declare(library, build.context_params, build.title)
    return Llama(library, build)


def _sees_gpu(ggml: Any, kernels: Path) -> bool:
    ggml.ggml_backend_load.argtypes = (ctypes.c_char_p,)
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    ggml.ggml_backend_load(str(kernels / _KERNELS).encode())
    ggml.ggml_backend_dev_get.restype, ggml.ggml_backend_dev_get.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    ggml.ggml_backend_dev_type.argtypes = (ctypes.c_void_p,)
    devices = map(ggml.ggml_backend_dev_get, range(ggml.ggml_backend_dev_count()))
    return any(ggml.ggml_backend_dev_type(device) == _GPU_DEVICE for device in devices)


def _shared_library() -> Path:
    # Found, not imported: its Python part is not needed.
    found = importlib.util.find_spec("xllamacpp")
    folders = [Path(folder) for folder in (found and found.submodule_search_locations) or ()]
    files = [folder / f"xllamacpp{suffix}" for folder in folders for suffix in EXTENSION_SUFFIXES]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise EngineUnavailableError(f"xllamacpp is not installed: {_REMEDY}")
    version = importlib.metadata.version("xllamacpp")
    if version != WHEEL_VERSION:
        raise EngineUnavailableError(f"xllamacpp {version} is installed, and {WHEEL_VERSION} is needed: {_REMEDY}")
    return path
