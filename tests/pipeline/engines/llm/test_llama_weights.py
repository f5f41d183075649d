"""Weights that are slow to read are kept in a quicker form, and nothing else is touched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from pipeline.engines.llm.llama_builds import Llama, load_library
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.llm.llama_weights import quick_weights
from pipeline.engines.llm.requantize import EMBEDDING, LARGE, OUTPUT
from pipeline.engines.protocols import ChatRequest, EngineUnavailableError, Message
from pipeline.scheduling.lanes import Ticket

Q5_0, Q8_0 = GGMLQuantizationType.Q5_0, GGMLQuantizationType.Q8_0


async def first_words(weights: Path) -> str:
    """The beginning of a greedy reply."""
    model = LlamaCppLanguageModel(LlamaOptions(weights, threads=1, slots=1))
    try:
        asked = (Message("system", "You are a helpful assistant."), Message("user", "What is the capital of France?"))
        request = ChatRequest(asked, max_tokens=8)
        return "".join([delta.text async for delta in model.stream(request, Ticket())])
    finally:
        await model.close()


def written(path: Path, *tensors: tuple[str, GGMLQuantizationType, int]) -> Path:
    """A GGUF file that calls itself Q4_K_M, with tensors of so many rows of 64 numbers."""
    writer = GGUFWriter(path, "llama")
    writer.add_file_type(15)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    numbers = np.random.default_rng(1)
    for name, kind, rows in tensors:
        plain = numbers.normal(size=(rows, 64)).astype(np.float32)
        writer.add_tensor(name, quantize(plain, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def kinds(path: Path) -> dict[str, str]:
    """The type of each tensor of a file."""
    return {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(path).tensors}


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


async def test_a_copy_is_made_once_and_says_the_same(models_dir: Path, tmp_path: Path) -> None:
    source = models_dir / "smollm2-135m-instruct"
    copy = quick_weights(source, tmp_path)
    assert copy.parent == tmp_path
    made = copy.stat().st_mtime_ns
    assert quick_weights(source, tmp_path) == copy
    assert copy.stat().st_mtime_ns == made
    assert names(tmp_path) == [copy.name]
    assert "Paris" in await first_words(copy)
    # The copy itself is quick already.
    assert quick_weights(copy, tmp_path / "again") == copy


def test_the_tensors_tell_what_is_slow_not_the_name_of_the_whole(tmp_path: Path) -> None:
    # As in Qwen2.5-0.5B, whose rows have 896 numbers, which Q4_K does not divide.
    of_file = [(EMBEDDING, Q5_0, 8), (OUTPUT, Q8_0, 8), ("blk.0.ffn_up.weight", Q5_0, 5000)]
    source = written(tmp_path / "model.gguf", *of_file)
    copy = quick_weights(source, tmp_path / "copies")
    # Single rows of the embedding are looked up: that is quick in any form.
    assert kinds(copy) == {EMBEDDING: "Q5_0", OUTPUT: "Q8_0", "blk.0.ffn_up.weight": "Q8_0"}
    told, same = (
        dequantize(tensor.data, tensor.tensor_type)
        for tensor in (GGUFReader(source).tensors[2], GGUFReader(copy).tensors[2])
    )
    assert np.abs(told - same).max() < np.abs(told).max() / 127


def test_large_tensors_take_half_the_bytes_and_the_output_stays_fine(tmp_path: Path) -> None:
    rows = LARGE // 64
    up, output = "blk.0.ffn_up.weight", (OUTPUT, Q5_0, rows)
    source = written(tmp_path / "model.gguf", output, (up, Q5_0, rows), ("blk.0.attn_q.weight", Q5_0, rows - 1))
    copy = quick_weights(source, tmp_path / "copies")
    assert kinds(copy) == {OUTPUT: "Q8_0", up: "IQ4_NL", "blk.0.attn_q.weight": "Q8_0"}
    told, same = (
        dequantize(tensor.data, tensor.tensor_type)
        for tensor in (GGUFReader(source).tensors[1], GGUFReader(copy).tensors[1])
    )
    assert same.shape == told.shape
    assert np.sqrt(np.square(told - same).mean()) < 0.1 * np.sqrt(np.square(told).mean())


def test_copies_of_an_earlier_form_go(tmp_path: Path) -> None:
    source = written(tmp_path / "model.gguf", (EMBEDDING, Q5_0, 500))
    copies = tmp_path / "copies"
    copies.mkdir()
    earlier = copies / f"model-{source.stat().st_size}-2.Q8_0.gguf"
    others = copies / "model2-1-2.Q8_0.gguf"
    for each in (earlier, others):
        each.write_bytes(b"")
    copy = quick_weights(source, copies)
    assert names(copies) == sorted([copy.name, others.name])


def test_an_embedding_that_is_the_output_too_counts(tmp_path: Path) -> None:
    source = written(tmp_path / "model.gguf", (EMBEDDING, Q5_0, 500))
    assert kinds(quick_weights(source, tmp_path / "copies")) == {EMBEDDING: "Q8_0"}


def test_a_file_with_little_that_is_slow_is_left_alone(tmp_path: Path) -> None:
    source = written(tmp_path / "model.gguf", (OUTPUT, Q8_0, 500), ("blk.0.ffn_up.weight", Q5_0, 100))
    assert quick_weights(source, tmp_path / "copies") == source


def test_a_build_that_reads_all_forms_quickly_gets_the_file_itself(models_dir: Path, tmp_path: Path) -> None:
    wheel = load_library()
    tiled = Llama(wheel.functions, replace(wheel.build, reads_all=True))
    source = models_dir / "smollm2-135m-instruct"
    assert quick_weights(source, tmp_path, tiled).parent == source
    assert names(tmp_path) == []


def test_a_copy_that_cannot_be_written_does_not_stop_the_start(models_dir: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    source = models_dir / "smollm2-135m-instruct"
    assert quick_weights(source, blocked).parent == source


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "model.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(EngineUnavailableError, match=r"model\.gguf"):
        quick_weights(bad, tmp_path)
