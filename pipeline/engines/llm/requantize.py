"""Writes a GGUF model anew, its slow tensors in quicker forms: a process of its own, which `llama_weights.py` starts.

python -m pipeline.engines.llm.requantize MODEL.gguf COPY.gguf
"""

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFReader, ReaderTensor

SLOW_TYPES: Final = {3: "Q4_1", 6: "Q5_0", 7: "Q5_1"}
"""`ggml_type` of tensors that are worth rewriting."""

EMBEDDING: Final = "token_embd.weight"
OUTPUT: Final = "output.weight"

Q8_0_FILE: Final = 7
"""`general.file_type`: mostly Q8_0."""

LARGE: Final = 2_000_000
"""Numbers of a tensor from which on reading it takes longer than computing with it: such become IQ4_NL, of half the
bytes. The output stays finer: it chooses the words."""

ROWS: Final = 4096
"""That are converted at once, so that little memory is taken."""

NICE: Final = 10
"""The calls of the server that has this done go first."""


def is_slow(name: str, names: Collection[str]) -> bool:
    """Whether a tensor of a slow type is multiplied with: of the embedding only single rows are looked up, unless it is
    the output too.

    Args:
        name: of the tensor.
        names: of all tensors.
    """
    return name != EMBEDDING or OUTPUT not in names


def requantize(source: Path, copy: Path, library: Any) -> None:
    """Write a model anew, one tensor after the other; what is not slow stays as it is.

    Args:
        source: a GGUF file.
        copy: written there.
        library: llama.cpp, which knows how to write IQ4_NL.
    """
    from gguf import GGML_QUANT_SIZES, GGUFReader, GGUFValueType, GGUFWriter, Keys

    reader = GGUFReader(source)
    slow = _slow_tensors(reader)
    architecture = reader.fields[Keys.General.ARCHITECTURE].contents()
    writer = GGUFWriter(copy, architecture)
    try:
        for name, field in reader.fields.items():
            # Those of the file itself and the architecture, the writer says; the type is another.
            if name.startswith("GGUF.") or name in (Keys.General.ARCHITECTURE, Keys.General.FILE_TYPE):
                continue
            items = field.types[-1] if field.types[0] is GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=items)
        writer.add_file_type(Q8_0_FILE)
        for tensor in reader.tensors:
            kind = quick_form(tensor) if tensor.name in slow else tensor.tensor_type
            shape = [int(size) for size in reversed(tensor.shape)]
            block, bytes_each = GGML_QUANT_SIZES[kind]
            # The data type says that the shape counts elements, not bytes.
            writer.add_tensor_info(
                tensor.name, shape, np.dtype(np.float32), tensor.n_elements // block * bytes_each, raw_dtype=kind
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in reader.tensors:
            writer.write_tensor_data(_in_quick_form(tensor, library) if tensor.name in slow else tensor.data)
    finally:
        writer.close()


def _slow_tensors(reader: "GGUFReader") -> set[str]:
    """Names of the tensors to be rewritten."""
    names = [tensor.name for tensor in reader.tensors]
    return {
        tensor.name
        for tensor in reader.tensors
        if int(tensor.tensor_type) in SLOW_TYPES and is_slow(tensor.name, names)
    }


def quick_form(tensor: "ReaderTensor") -> "GGMLQuantizationType":
    """What a slow tensor is written as."""
    from gguf import GGMLQuantizationType

    large = tensor.n_elements >= LARGE and tensor.name not in (EMBEDDING, OUTPUT)
    return GGMLQuantizationType.IQ4_NL if large else GGMLQuantizationType.Q8_0


def _in_quick_form(tensor: "ReaderTensor", library: Any) -> NDArray[np.uint8]:
    """The numbers of a tensor in its quick form, shape (rows, bytes)."""
    from gguf import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    kind = quick_form(tensor)
    block, bytes_each = GGML_QUANT_SIZES[kind]
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    pieces = []
    for first in range(0, len(rows), ROWS):
        plain = np.ascontiguousarray(dequantize(rows[first : first + ROWS], tensor.tensor_type), np.float32)
        count, width = plain.shape
        piece = np.empty((count, width // block * bytes_each), np.uint8)
        library.ggml_quantize_chunk(int(kind), plain.ctypes.data, piece.ctypes.data, 0, count, width, None)
        pieces.append(piece)
    return np.concatenate(pieces)


if __name__ == "__main__":
    from pipeline.engines.llm.llama_builds import load_library

    os.nice(NICE)
    _source, _copy = sys.argv[1:]
    requantize(Path(_source), Path(_copy), load_library().functions)
