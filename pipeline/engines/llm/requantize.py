"""Writes a GGUF model anew with its slow tensors as Q8_0: a process of its own, which `llama_weights.py` starts.

python -m pipeline.engines.llm.requantize MODEL.gguf COPY.gguf
"""

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

SLOW_TYPES: Final = {3: "Q4_1", 6: "Q5_0", 7: "Q5_1"}
"""`ggml_type` of tensors that are worth rewriting."""

EMBEDDING: Final = "token_embd.weight"
OUTPUT: Final = "output.weight"

Q8_0_FILE: Final = 7
"""`general.file_type`: mostly Q8_0."""

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


def requantize(source: Path, copy: Path) -> None:
    """Write a model anew, one tensor after the other; what is not slow stays as it is."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, Keys

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
            kind = GGMLQuantizationType.Q8_0 if tensor.name in slow else tensor.tensor_type
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
            writer.write_tensor_data(_as_q8_0(tensor) if tensor.name in slow else tensor.data)
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


def _as_q8_0(tensor: "ReaderTensor") -> NDArray[np.uint8]:
    """The numbers of a tensor as Q8_0, shape (rows, bytes)."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    pieces = (rows[first : first + ROWS] for first in range(0, len(rows), ROWS))
    return np.concatenate(
        [quantize(dequantize(piece, tensor.tensor_type), GGMLQuantizationType.Q8_0) for piece in pieces]
    )


if __name__ == "__main__":
    os.nice(NICE)
    _source, _copy = sys.argv[1:]
    requantize(Path(_source), Path(_copy))
