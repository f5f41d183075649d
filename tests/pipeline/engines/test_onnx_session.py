"""How ONNX models are opened."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.engines.onnx_session import open_session
from pipeline.engines.protocols import EngineUnavailableError

WIDTH = 64


def int8_product() -> bytes:
    """A model that multiplies uint8 values, shape (1, WIDTH), with the largest int8 weights."""
    weights = numpy_helper.from_array(np.full((WIDTH, 4), 127, np.int8), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["values", "weights"], ["products"])],
        "int8",
        [helper.make_tensor_value_info("values", TensorProto.UINT8, [1, WIDTH])],
        [helper.make_tensor_value_info("products", TensorProto.INT32, [1, 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_sums_of_8_bit_products_are_exact_on_every_processor() -> None:
    """With AVX2 and no VNNI they stop at 16 bits, unless the session is told otherwise."""
    (products,) = open_session(int8_product()).run(None, {"values": np.full((1, WIDTH), 255, np.uint8)})
    assert products.tolist() == [[255 * 127 * WIDTH] * 4]


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        open_session(tmp_path / "none.onnx")
