"""How ONNX models are opened."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.engines.onnx_session import EXACT_SUMS, open_session
from pipeline.engines.protocols import EngineUnavailableError

WIDTH = 64


def int8_product(times: int = 1) -> bytes:
    """A model that multiplies uint8 values, shape (1, WIDTH), with the largest int8 weights, so many times."""
    weights = numpy_helper.from_array(np.full((WIDTH, 4), 127, np.int8), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["values", "weights"], [f"products{each}"]) for each in range(times)],
        "int8",
        [helper.make_tensor_value_info("values", TensorProto.UINT8, [1, WIDTH])],
        [helper.make_tensor_value_info(f"products{each}", TensorProto.INT32, [1, 4]) for each in range(times)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_sums_of_8_bit_products_are_exact_on_every_processor() -> None:
    """With AVX2 and no VNNI they stop at 16 bits, unless the session is told otherwise."""
    (products,) = open_session(int8_product()).run(None, {"values": np.full((1, WIDTH), 255, np.uint8)})
    assert products.tolist() == [[255 * 127 * WIDTH] * 4]


def test_the_session_is_told_so_where_sums_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engines.onnx_session.int8_sums_overflow", lambda: True)
    assert open_session(int8_product()).get_session_options().get_session_config_entry(EXACT_SUMS) == "1"


def test_elsewhere_it_is_not_because_that_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engines.onnx_session.int8_sums_overflow", lambda: False)
    with pytest.raises(RuntimeError):
        open_session(int8_product()).get_session_options().get_session_config_entry(EXACT_SUMS)


def test_a_model_whose_operators_share_weights_is_opened_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engines.onnx_session.int8_sums_overflow", lambda: True)
    one, other = open_session(int8_product(2)).run(None, {"values": np.ones((1, WIDTH), np.uint8)})
    assert one.tolist() == other.tolist() == [[127 * WIDTH] * 4]


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        open_session(tmp_path / "none.onnx")
