"""Whisper's weights as CTranslate2 has them, and the vocabulary beside them."""

from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from pipeline.engines.device import Placement, placed
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.whisper_batches import BatchedWhisper

_WORKERS_ON_GPU = 2
_FILES = ("model.bin", "config.json", "tokenizer.json")


def require_files(folder: Path) -> None:
    """See that a converted model is whole.

    Raises:
        EngineUnavailableError: a file is missing.
    """
    for file in _FILES:
        if not (folder / file).is_file():
            raise EngineUnavailableError(f"{folder / file} is missing: run `morgan models pull`")


def load_whisper(folder: Path, lanes: int, threads: int, device: str, compute_type: str) -> tuple[Any, Any]:
    """A `ctranslate2.models.Whisper` and a `tokenizers.Tokenizer`.

    Args:
        folder: a converted model.
        lanes: transcriptions that run at the same time.
        threads: inside one transcription.
        device: "cpu" or "cuda"; there what several lanes ask for is computed in one batch.
        compute_type: as CTranslate2 names them.
    """
    from tokenizers import Tokenizer

    # On a GPU one batch is encoded while another one is read.
    workers = lanes if device == "cpu" else _WORKERS_ON_GPU
    whisper = ctranslate2.models.Whisper(
        str(folder), device=device, compute_type=compute_type, inter_threads=workers, intra_threads=threads
    )
    model = whisper if device == "cpu" else BatchedWhisper(whisper)
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))


def place_whisper(
    folder: Path, lanes: int, threads: int, device: str, compute_type: str
) -> tuple[tuple[Any, Any], Placement]:
    """`load_whisper` on the GPU where that works, and where and why.

    Args:
        folder, lanes, threads: see `load_whisper`.
        device: "auto", "cpu" or "cuda".
        compute_type: as CTranslate2 names them, or "auto".

    Raises:
        EngineUnavailableError: it cannot be loaded.
    """

    def load(where: str) -> tuple[Any, Any]:
        return load_whisper(folder, lanes, threads, where, computing_on(where, compute_type))

    try:
        # No processor is quicker at it than a GPU, so none is timed.
        return placed(str(folder), device, load, _try, compare=False)
    except EngineUnavailableError:
        raise
    except Exception as error:  # a broken model shows as RuntimeError, ValueError or a plain Exception
        raise EngineUnavailableError(
            f"{folder} cannot be loaded on the CPU ({error}): run `morgan models verify` and pull it again"
        ) from error


def computing_on(device: str, compute_type: str) -> str:
    """What is computed in on a device, "auto" resolved."""
    if compute_type != "auto":
        return compute_type
    return "int8" if device == "cpu" else "float16"


def _try(loaded: tuple[Any, Any]) -> None:
    """Have a model that was loaded compute something: what it needs of a GPU's libraries it looks for only then."""
    model, vocabulary = loaded
    features = np.zeros((1, model.n_mels, LONGEST_FRAMES), np.float32)
    encoded = model.encode(ctranslate2.StorageView.from_array(features))
    model.generate(encoded, [[vocabulary.token_to_id("<|startoftranscript|>")]], max_length=4)
