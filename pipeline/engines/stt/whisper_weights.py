"""Whisper's weights as CTranslate2 has them, and the vocabulary beside them."""

from pathlib import Path
from typing import Any

import ctranslate2

from pipeline.engines.protocols import EngineUnavailableError

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
        device: "cpu" or "cuda".
        compute_type: as CTranslate2 names them.
    """
    from tokenizers import Tokenizer

    whisper = ctranslate2.models.Whisper(
        str(folder), device=device, compute_type=compute_type, inter_threads=lanes, intra_threads=threads
    )
    return whisper, Tokenizer.from_file(str(folder / "tokenizer.json"))
