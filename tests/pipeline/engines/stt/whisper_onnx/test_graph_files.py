"""The graphs on disk: made once, read again, made anew where they are broken."""

import shutil
from pathlib import Path

import onnx
import pytest

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.stt.whisper_onnx import graph_files
from pipeline.engines.stt.whisper_onnx.converted_weights import ConvertedWeights, UnknownWeightsError
from pipeline.engines.stt.whisper_onnx.graph_files import whisper_graphs
from tests.pipeline.engines.speech import model


def made(cache: Path, *, unsigned: bool = False) -> Path:
    graphs = whisper_graphs(model("whisper-tiny.en"), cache, unsigned=unsigned)
    assert isinstance(graphs.encoder, Path)
    assert isinstance(graphs.decoder, Path)
    assert graphs.encoder.parent == graphs.decoder.parent
    return graphs.encoder.parent


def test_graphs_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = made(tmp_path)
    onnx.checker.check_model(onnx.load(kept / "encoder.onnx"))
    monkeypatch.setattr(graph_files, "_made", None)
    assert made(tmp_path) == kept


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "graphs.json"])
def test_a_broken_file_is_made_again(tmp_path: Path, name: str) -> None:
    kept = made(tmp_path)
    whole = (kept / name).read_bytes()
    (kept / name).write_bytes(whole[: len(whole) // 2] + b"\0" + whole[len(whole) // 2 + 1 :])
    assert (kept / name).read_bytes() != whole
    assert made(tmp_path) == kept
    assert (kept / name).read_bytes() == whole


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    graphs = whisper_graphs(model("whisper-tiny.en"), tmp_path / "cache", unsigned=False)
    assert isinstance(graphs.encoder, bytes)
    assert isinstance(graphs.decoder, bytes)


def test_other_weights_and_another_form_have_files_of_their_own(tmp_path: Path) -> None:
    kept = made(tmp_path)
    assert made(tmp_path, unsigned=True) != kept
    other = tmp_path / "whisper-tiny.en"
    shutil.copytree(model("whisper-tiny.en"), other)
    weights = bytearray((other / "model.bin").read_bytes())
    weights[-40_000:-30_000] = bytes(10_000)
    (other / "model.bin").write_bytes(weights)
    graphs = whisper_graphs(other, tmp_path, unsigned=False)
    assert isinstance(graphs.encoder, Path)
    assert graphs.encoder.parent != kept


def test_what_is_no_whisper_is_refused(tmp_path: Path) -> None:
    whole = (model("whisper-tiny.en") / "model.bin").read_bytes()
    for broken in (b"", b"nothing of the kind", whole[:100_000], whole.replace(b"WhisperSpec", b"WhiskerSpec", 1)):
        (tmp_path / "model.bin").write_bytes(broken)
        with pytest.raises(UnknownWeightsError):
            ConvertedWeights(tmp_path / "model.bin")
        with pytest.raises(EngineUnavailableError):
            whisper_graphs(tmp_path, None, unsigned=False)
