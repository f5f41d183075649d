"""The two graphs of a model as files, made once from its weights and checked each time they are read."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.stt.whisper_onnx.converted_weights import ConvertedWeights, UnknownWeightsError

FORMAT: Final = 1
"""To be raised when the graphs change."""

LARGEST: Final = 600_000_000
"""Bytes of weights up to which a model is held twice; larger ones stay with CTranslate2 alone."""

_SAMPLES: Final = 16
_SAMPLE: Final = 65_536

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Graphs:
    """Two ONNX models: files, or their content where it cannot be kept."""

    encoder: Path | bytes
    decoder: Path | bytes


def whisper_graphs(folder: Path, cache: Path | None, *, unsigned: bool) -> Graphs:
    """The graphs of a model: read, or made (some 2 s for whisper-base) and kept.

    Args:
        folder: a converted model, with `model.bin`.
        cache: folder of what was made; None to keep nothing.
        unsigned: see `GraphBuilder`.

    Raises:
        EngineUnavailableError: the graphs cannot be made of these weights.
    """
    source = folder / "model.bin"
    try:
        if source.stat().st_size > LARGEST:
            raise EngineUnavailableError(f"{source} is too large to be held twice")
        kept = None if cache is None else cache / f"{folder.name}-{_mark(source)}-onnx-{'u8' if unsigned else 's8'}"
        found = None if kept is None else _read(kept)
        if found is not None:
            return found
        made = _made(source, unsigned=unsigned)
    except OSError as error:
        raise EngineUnavailableError(f"{source} cannot be read: {error.strerror}") from error
    except UnknownWeightsError as error:
        raise EngineUnavailableError(str(error)) from error
    except ImportError as error:
        raise EngineUnavailableError(f"the graphs cannot be made without {error.name}") from error
    return Graphs(made["encoder.onnx"], made["decoder.onnx"]) if kept is None else _kept(made, kept)


def _made(source: Path, *, unsigned: bool) -> dict[str, bytes]:
    """The content of each file."""
    # In here, because onnx is needed for this alone.
    from pipeline.engines.stt.whisper_onnx.decoder_graph import decoder_graph
    from pipeline.engines.stt.whisper_onnx.encoder_graph import encoder_graph

    weights = ConvertedWeights(source)
    return {
        "encoder.onnx": encoder_graph(weights, unsigned=unsigned),
        "decoder.onnx": decoder_graph(weights, unsigned=unsigned),
    }


def _mark(source: Path) -> str:
    """Tells weights from others: their size, and the hash of pieces all over them, which are quickly read."""
    size = source.stat().st_size
    digest = hashlib.sha256(f"{FORMAT} {size}".encode())
    with source.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * max(0, size - _SAMPLE) // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16]


def _read(kept: Path) -> Graphs | None:
    """What was kept, None where nothing was or it is broken."""
    graphs = Graphs(kept / "encoder.onnx", kept / "decoder.onnx")
    try:
        told = json.loads((kept / "graphs.json").read_text(encoding="utf-8"))
        if told == {path.name: _hash(path) for path in (kept / "encoder.onnx", kept / "decoder.onnx")}:
            return graphs
        log.warning("what was kept of speech to text is broken; it is made again", path=str(kept))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("what was kept of speech to text cannot be read", path=str(kept), problem=str(error))
    return None


def _kept(graphs: Mapping[str, bytes], kept: Path) -> Graphs:
    """Keep graphs; where that cannot be, they are made again at the next start."""
    try:
        kept.mkdir(parents=True, exist_ok=True)
        for name, content in graphs.items():
            _put(kept / name, content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in graphs.items()}
        # Last, because it says that the others are whole.
        _put(kept / "graphs.json", json.dumps(hashes).encode())
    except OSError as error:
        log.warning("speech to text is not kept as it was made", path=str(kept), problem=str(error))
        return Graphs(graphs["encoder.onnx"], graphs["decoder.onnx"])
    return Graphs(kept / "encoder.onnx", kept / "decoder.onnx")


def _put(path: Path, content: bytes) -> None:
    # Under a name of this process, so that two that start together do not write into one another's file.
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
