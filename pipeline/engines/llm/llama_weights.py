"""Weights in the form that this machine reads fastest.

Without AMX, llama.cpp has no tiled kernels for some of the older quantisations (Q4_1, Q5_0, Q5_1): each token of a
prompt then costs as much as one of a reply. The same weights written as Q8_0 read a prompt of 20 tokens in two thirds
of the time (SmolLM2-135M on two cores: 66 -> 45 ms) and lose nothing (perplexity 7.69 -> 7.68); they take 1.6 times the
space and speak a little slower, which nobody hears. With AMX (`llama_builds.native`) there are such kernels, and the
weights are taken as they come: a token of a reply takes 13 ms, of the copy 20.
"""

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from pipeline.engines.llm.llama_builds import Llama, load_library
from pipeline.engines.llm.llama_native import find_gguf
from pipeline.engines.protocols import EngineUnavailableError

LARGEST = 400_000_000
"""Bytes of a file beyond which it is left alone: large models are bound by memory, and smaller is faster."""

SLOW_TYPES = {"3": "Q4_1", "8": "Q5_0", "9": "Q5_1"}
"""`general.file_type` of GGUF files that are worth rewriting."""

Q8_0 = 7

log = structlog.get_logger(__name__)


def quick_weights(path: Path, cache: Path, llama: Llama | None = None) -> Path:
    """The file to load for a model: itself, or a copy in Q8_0, made when it is not there yet.

    Args:
        path: a GGUF file, or a folder with one.
        cache: folder of the copies.
        llama: the build of llama.cpp that will compute; None for the wheel's.

    Raises:
        EngineUnavailableError: there is no such file, or llama.cpp is not installed.
    """
    source = find_gguf(path)
    if source.stat().st_size > LARGEST:
        return source
    llama = llama or load_library()
    if llama.build.reads_all or _file_type(llama.functions, source) not in SLOW_TYPES:
        return source
    copy = cache / f"{source.stem}-{source.stat().st_size}.Q8_0.gguf"
    if not copy.is_file():
        try:
            _write(source, copy)
        except OSError as error:
            log.warning("weights are used as they are", reason=str(error))
            return source
    return copy


def _file_type(library: Any, path: Path) -> str:
    parameters = library.llama_model_default_params()
    parameters.vocab_only = True
    model = library.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise EngineUnavailableError(f"{path} is not a GGUF model: run `morgan models pull`")
    try:
        value = ctypes.create_string_buffer(16)
        library.llama_model_meta_val_str(model, b"general.file_type", value, len(value))
        return value.value.decode()
    finally:
        library.llama_model_free(model)


def _write(source: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of this process, so that two that start together do not write into one another's file.
    part = copy.with_suffix(f".{os.getpid()}.part")
    try:
        _requantize(source, part)
        part.replace(copy)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _requantize(source: Path, copy: Path) -> None:
    """Write a model anew with its slow tensors as Q8_0, one tensor after the other."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, Keys
    from gguf.quants import dequantize, quantize

    def quick(kind: GGMLQuantizationType) -> GGMLQuantizationType:
        return GGMLQuantizationType.Q8_0 if kind.name in SLOW_TYPES.values() else kind

    reader = GGUFReader(source)
    architecture = reader.fields[Keys.General.ARCHITECTURE].contents()
    writer = GGUFWriter(copy, architecture)
    try:
        for name, field in reader.fields.items():
            # Those of the file itself and the architecture, the writer says; the type is another.
            if name.startswith("GGUF.") or name in (Keys.General.ARCHITECTURE, Keys.General.FILE_TYPE):
                continue
            items = field.types[-1] if field.types[0] is GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=items)
        writer.add_file_type(Q8_0)
        for tensor in reader.tensors:
            kind = quick(tensor.tensor_type)
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
            data = tensor.data
            if quick(tensor.tensor_type) is not tensor.tensor_type:
                data = quantize(dequantize(data, tensor.tensor_type), GGMLQuantizationType.Q8_0)
            writer.write_tensor_data(data)
    finally:
        writer.close()
