"""The build of llama.cpp that is faster on this processor: fetched where it can be had, and done without elsewhere."""

import contextlib
import shutil
import time
from pathlib import Path

from pipeline.engines.llm.llama_builds import (
    ANY_ID,
    CUDA_ID,
    NATIVE_ID,
    cuda,
    folder_of_library,
    native,
    wants_cuda,
    wants_native,
    wheel,
)
from pipeline.engines.protocols import EngineError
from pipeline.models import ModelError, ModelStore, ProgressCallback
from pipeline.plugins.built_in import LLAMA_CPP, LlamaCppOptions
from server.engines.factory import engines_here, llm_engine, options_of
from server.settings import Settings

_WHERE = {NATIVE_ID: "on this processor", CUDA_ID: "on this GPU"}

AGAIN_S = 86_400.0
"""Seconds until a start tries again to fetch what could not be had."""


def fetch_library(settings: Settings, progress: ProgressCallback, *, asked: bool = False) -> str:
    """Fetch the build of llama.cpp for this GPU, or the native one if it is faster here, unless it is there.

    Args:
        settings: of the language model.
        progress: told how it goes.
        asked: somebody asked for it: it is tried even if it could not be had today.

    Returns:
        Why it could not be had, in one line; empty where there is nothing to tell.
    """
    options = _options(settings)
    wanted = "" if options is None else _wanted(options)
    if not wanted:
        return ""
    store = ModelStore(settings.models_dir)
    tried = store.root / ".incoming" / f"{wanted}.not-had"
    if not asked and tried.is_file() and 0 <= time.time() - tried.stat().st_mtime < AGAIN_S:
        return ""
    try:
        store.ensure([ANY_ID, CUDA_ID] if wanted == CUDA_ID else [wanted], progress)
    except ModelError as error:
        _remember(tried)
        return f"llama.cpp computes out of its wheel; the build that is faster {_WHERE[wanted]} is not here. {error}"
    return ""


def library_title(settings: Settings) -> str:
    """The build of llama.cpp that computes with these settings; empty where none does in this process."""
    options = _options(settings)
    if options is None:
        return ""
    store = ModelStore(settings.models_dir)
    if wants_cuda(options.device) and _is_there(store, CUDA_ID) and _is_there(store, ANY_ID):
        return cuda().title
    folder = folder_of_library(options.library, options.threads, store.path)
    return wheel().title if folder is None else native().title


def all_on_gpu(settings: Settings) -> bool:
    """Whether all layers of a language model lie on a GPU with these settings, as far as that is known before it
    loads."""
    options = _options(settings)
    return options is not None and options.layers is None and library_title(settings) == cuda().title


def faster_library(settings: Settings) -> str:
    """Which build of llama.cpp is faster here, and how it is to be had; empty where the fastest one computes."""
    options = _options(settings)
    wanted = "" if options is None else _wanted(options)
    title = library_title(settings)
    if not wanted or title == cuda().title or (wanted == NATIVE_ID and title != wheel().title):
        return ""
    store = ModelStore(settings.models_dir)
    if not _is_there(store, wanted):
        how = "`morgan models pull` fetches it" if shutil.which("npm") else "install npm, then `morgan models pull`"
    else:
        how = f"but what is in {store.path(wanted)} does not load here"
    return f"another build is faster {_WHERE[wanted]}: {how}"


def _wanted(options: LlamaCppOptions) -> str:
    """Id of the build that should compute in place of the wheel; "" where none should."""
    if wants_cuda(options.device):
        return CUDA_ID
    return NATIVE_ID if wants_native(options.library, options.threads) else ""


def _is_there(store: ModelStore, model_id: str) -> bool:
    try:
        store.path(model_id)
    except ModelError:
        return False
    return True


def _remember(tried: Path) -> None:
    with contextlib.suppress(OSError):
        tried.parent.mkdir(parents=True, exist_ok=True)
        tried.touch()


def _options(settings: Settings) -> LlamaCppOptions | None:
    """Of llama.cpp; None where it does not compute in this process, or they do not fit, which building it tells."""
    if "llm" not in engines_here(settings) or llm_engine(settings) != LLAMA_CPP.id:
        return None
    try:
        options = options_of(LLAMA_CPP, settings)
    except EngineError:
        return None
    return options if isinstance(options, LlamaCppOptions) else None
