"""The build of llama.cpp that is faster on this processor: fetched where it can be had, and done without elsewhere."""

import contextlib
import shutil
import time
from pathlib import Path

from pipeline.engines.llm.llama_builds import NATIVE_ID, folder_of_library, native, wants_native, wheel
from pipeline.engines.protocols import EngineError
from pipeline.models import ModelError, ModelStore, ProgressCallback
from pipeline.plugins.built_in import LLAMA_CPP, LlamaCppOptions
from server.engines.factory import engines_here, llm_engine, options_of
from server.settings import Settings

AGAIN_S = 86_400.0
"""Seconds until a start tries again to fetch what could not be had."""


def fetch_library(settings: Settings, progress: ProgressCallback, *, asked: bool = False) -> str:
    """Fetch the native build of llama.cpp if it is faster here and not there yet.

    Args:
        settings: of the language model.
        progress: told how it goes.
        asked: somebody asked for it: it is tried even if it could not be had today.

    Returns:
        Why it could not be had, in one line; empty where there is nothing to tell.
    """
    options = _options(settings)
    if options is None or not wants_native(options.library, options.threads):
        return ""
    store = ModelStore(settings.models_dir)
    tried = store.root / ".incoming" / f"{NATIVE_ID}.not-had"
    if not asked and tried.is_file() and 0 <= time.time() - tried.stat().st_mtime < AGAIN_S:
        return ""
    try:
        store.ensure([NATIVE_ID], progress)
    except ModelError as error:
        _remember(tried)
        return f"llama.cpp computes out of its wheel; the build that is faster on this processor is not here. {error}"
    return ""


def library_title(settings: Settings) -> str:
    """The build of llama.cpp that computes with these settings; empty where none does in this process."""
    options = _options(settings)
    if options is None:
        return ""
    folder = folder_of_library(options.library, options.threads, ModelStore(settings.models_dir).path)
    return wheel().title if folder is None else native().title


def faster_library(settings: Settings) -> str:
    """How a build of llama.cpp that is faster here is to be had; empty where the fastest one computes."""
    options = _options(settings)
    if (
        options is None
        or not wants_native(options.library, options.threads)
        or library_title(settings) != wheel().title
    ):
        return ""
    try:
        folder = ModelStore(settings.models_dir).path(NATIVE_ID)
    except ModelError:
        return "`morgan models pull` fetches it" if shutil.which("npm") else "install npm, then `morgan models pull`"
    return f"but what is in {folder} does not load here"


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
