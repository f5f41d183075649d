"""ONNX graphs written node by node, with matrix products in 8 bits."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pipeline.engines.stt.whisper_onnx.converted_weights import ConvertedWeights, Floats

MICROSOFT: Final = "com.microsoft"
"""Domain of onnxruntime's own operators."""

_OPSET: Final = 21
_IR: Final = 10
_ZERO: Final = 128
_EPSILON: Final = 1e-5
"""Of layer normalisation, as CTranslate2 has it."""


class Bits(NamedTuple):
    """Rows in 8 bits, each by its largest value.

    Attributes:
        values: name of the uint8 tensor, 128 for zero.
        scale: name of the largest values, one a row.
    """

    values: str
    scale: str


class GraphBuilder:
    """One graph in the making; tensors go by their names.

    Products come in two forms. By rows: each row of the input is rounded by its own largest value, and comes out the
    same however many rows are computed at once. As a whole: all by one range, quicker for hundreds of rows, and
    worse where some of them stand out.

    Args:
        weights: read where a layer is named.
        unsigned: weights as uint8. Products of uint8 and int8 overflow 16 bits on an x86 processor without VNNI.
    """

    def __init__(self, weights: ConvertedWeights, *, unsigned: bool) -> None:
        self.weights = weights
        self._unsigned = unsigned
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._known: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def op(self, kind: str, inputs: Sequence[str], output: str = "", *, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output; returns the output's name."""
        output = output or self._new()
        self._nodes.append(helper.make_node(kind, list(inputs), [output], domain=domain, **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """A tensor of the graph's own; small ones that are alike are one."""
        key = (values.dtype.str, values.shape, values.tobytes()) if values.size < 16 else (self._count, "large")
        if key not in self._known:
            name = self._known[key] = self._new()
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return self._known[key]

    def integers(self, *values: int) -> str:
        """A tensor of int64, shape (n,)."""
        return self.constant(np.array(values, np.int64))

    def split(self, x: str, parts: int) -> list[str]:
        """Equal parts along the last axis."""
        names = [self._new() for _ in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], names, axis=-1, num_outputs=parts))
        return names

    def norm(self, x: str, layer: str) -> str:
        """Layer normalisation."""
        gamma, beta = self.weights[f"{layer}/gamma"], self.weights[f"{layer}/beta"]
        scale, offset = self.constant(gamma), self.constant(beta)
        return self.op("LayerNormalization", [x, scale, offset], axis=-1, epsilon=_EPSILON)

    def gelu(self, x: str) -> str:
        """The activation, exact."""
        return self.op("Gelu", [x], domain=MICROSOFT)

    def bits(self, x: str) -> Bits:
        """Round rows to 8 bits, each by its own largest value."""
        largest = self.op("ReduceMax", [self.op("Abs", [x]), self.integers(-1)], keepdims=1)
        scale = self.op("Max", [largest, self._number(1e-9)])
        even = self.op("Div", [x, scale])
        zero = self.constant(np.array(_ZERO, np.uint8))
        return Bits(self.op("QuantizeLinear", [even, self._number(1 / 127), zero]), scale)

    def linear(self, x: str | Bits, layer: str, *, times: float = 1.0) -> str:
        """A layer of the weights, by rows. `times`: a factor of its output."""
        return self.product(x, self.weights[f"{layer}/weight"] * times, self.weights[f"{layer}/bias"] * times)

    def product(self, x: str | Bits, weight: Floats, bias: Floats | None = None) -> str:
        """x @ weight.T + bias, by rows.

        Args:
            x: shape (n, k); as `Bits` where several products share it.
            weight: shape (m, k).
            bias: shape (m,).
        """
        x = x if isinstance(x, Bits) else self.bits(x)
        values, scale, zero = self._rounded(weight)
        inputs = [x.values, values, self._number(1 / 127), scale, self.constant(np.array(_ZERO, np.uint8)), zero]
        y = self.op("Mul", [self.op("MatMulIntegerToFloat", inputs, domain=MICROSOFT), x.scale])
        return y if bias is None else self.op("Add", [y, self.constant(bias)])

    def product_as_a_whole(self, x: str, weight: Floats, bias: Floats) -> str:
        """The same, as a whole."""
        values, scale, zero = self._rounded(weight)
        return self.op("DynamicQuantizeMatMul", [x, values, scale, zero, self.constant(bias)], domain=MICROSOFT)

    def in_heads(self, x: str, *, lying: bool = False) -> str:
        """(n, width) as (heads, n, d); lying: as (heads, d, n)."""
        heads = self.weights.heads
        parted = self.op("Reshape", [x, self.integers(0, heads, self.weights.width // heads)])
        return self.op("Transpose", [parted], perm=[1, 2, 0] if lying else [1, 0, 2])

    def from_heads(self, x: str) -> str:
        """(heads, n, d) as (n, width)."""
        return self.op("Reshape", [self.op("Transpose", [x], perm=[1, 0, 2]), self.integers(0, self.weights.width)])

    def model(
        self, inputs: Sequence[tuple[str, Any, Sequence[Any]]], outputs: Sequence[tuple[str, Sequence[Any]]]
    ) -> bytes:
        """The graph as a file.

        Args:
            inputs: name, type and shape of each.
            outputs: name and shape of each, all of float32.
        """
        given = [helper.make_tensor_value_info(*each) for each in inputs]
        made = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in outputs]
        graph = helper.make_graph(self._nodes, "whisper", given, made, self._constants)
        sets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return bytes(helper.make_model(graph, opset_imports=sets, ir_version=_IR).SerializeToString())

    def _rounded(self, weight: Floats) -> tuple[str, str, str]:
        """A matrix in 8 bits, transposed; the scale of each column, and its zero."""
        scale = np.maximum(np.abs(weight).max(axis=1), 1e-9) / np.float32(127)
        values = np.rint(weight / scale[:, None]).T
        if self._unsigned:
            stored, zero = (values + _ZERO).astype(np.uint8), np.array(_ZERO, np.uint8)
        else:
            stored, zero = values.astype(np.int8), np.array(0, np.int8)
        return self.constant(stored), self.constant(scale.astype(np.float32)), self.constant(zero)

    def _number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def _new(self) -> str:
        self._count += 1
        return f"t{self._count}"
