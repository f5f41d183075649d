"""Whisper's encoder, and what the decoder's cross-attention makes of its states, as one ONNX graph."""

from typing import Final

import numpy as np
from onnx import TensorProto

from pipeline.engines.stt.whisper_onnx.converted_weights import ConvertedWeights
from pipeline.engines.stt.whisper_onnx.graph_builder import MICROSOFT, GraphBuilder
from pipeline.engines.stt.whisper_onnx.names import FEATURES, KEYS, STATES, VALUES

_FRAMES: Final = 3
"""Under one step of either convolution."""


def encoder_graph(weights: ConvertedWeights, *, unsigned: bool) -> bytes:
    """Features (1, bands, 2 n) to states (n, width) and, for each layer of the decoder, keys and values of them.

    Keys are of shape (heads, d, n), values (heads, n, d).

    What comes out of a layer norm or of attention is rounded as a whole; some rows of what the second layer of a
    feed-forward network takes stand far out, and the error of the states would be 0.14 in place of 0.09 (CTranslate2,
    by rows throughout: 0.08).
    """
    g = GraphBuilder(weights, unsigned=unsigned)
    x = _with_positions(g, _convolved(g))
    for number in range(weights.encoder_layers):
        x = _layer(g, x, f"encoder/layer_{number}")
    states = g.op("Identity", [g.norm(x, "encoder/layer_norm")], STATES)
    bits, d = g.bits(states), weights.width // weights.heads
    outputs: list[tuple[str, list[str | int]]] = [(STATES, ["n", weights.width])]
    for number in range(weights.decoder_layers):
        layer = f"decoder/layer_{number}/attention/linear_1"
        both, bias = weights[f"{layer}/weight"], weights[f"{layer}/bias"]
        keys, values = (
            g.product(bits, both[: weights.width], bias[: weights.width]),
            g.product(bits, both[weights.width :], bias[weights.width :]),
        )
        g.op("Identity", [g.in_heads(keys, lying=True)], f"{KEYS}{number}")
        g.op("Identity", [g.in_heads(values)], f"{VALUES}{number}")
        outputs.append((f"{KEYS}{number}", [weights.heads, d, "n"]))
        outputs.append((f"{VALUES}{number}", [weights.heads, "n", d]))
    return g.model([(FEATURES, TensorProto.FLOAT, [1, weights.bands, "frames"])], outputs)


def _convolved(g: GraphBuilder) -> str:
    """Both convolutions, (1, bands, 2 n) > (n, width); the second one, of stride 2, as a product of three frames."""
    first = [g.constant(g.weights[f"encoder/conv1/{part}"]) for part in ("weight", "bias")]
    x = g.gelu(g.op("Conv", [FEATURES, *first], kernel_shape=[_FRAMES], pads=[1, 1]))
    x = g.op("Transpose", [g.op("Squeeze", [x, g.integers(0)])], perm=[1, 0])
    width = g.weights.width
    pairs = g.op("Reshape", [x, g.integers(-1, 2 * width)])
    odd = g.op("Slice", [pairs, g.integers(width), g.integers(2 * width), g.integers(1)])
    before = g.op("Pad", [g.op("Slice", [odd, g.integers(0), g.integers(-1), g.integers(0)]), g.integers(1, 0, 0, 0)])
    frames = g.op("Concat", [before, pairs], axis=1)
    weight = np.ascontiguousarray(g.weights["encoder/conv2/weight"].transpose(0, 2, 1)).reshape(width, _FRAMES * width)
    return g.gelu(g.product_as_a_whole(frames, weight, g.weights["encoder/conv2/bias"]))


def _with_positions(g: GraphBuilder, x: str) -> str:
    encodings = g.constant(g.weights["encoder/position_encodings/encodings"])
    count = g.op("Shape", [x], start=0, end=1)
    return g.op("Add", [x, g.op("Slice", [encodings, g.integers(0), count, g.integers(0)])])


def _layer(g: GraphBuilder, x: str, layer: str) -> str:
    def whole(x: str, name: str) -> str:
        return g.product_as_a_whole(x, g.weights[f"{layer}/{name}/weight"], g.weights[f"{layer}/{name}/bias"])

    y = whole(g.norm(x, f"{layer}/self_attention/layer_norm"), "self_attention/linear_0")
    qkv = [g.op("Unsqueeze", [part, g.integers(0)]) for part in g.split(y, 3)]
    y = g.op("MultiHeadAttention", qkv, domain=MICROSOFT, num_heads=g.weights.heads)
    x = g.op("Add", [x, whole(g.op("Squeeze", [y, g.integers(0)]), "self_attention/linear_1")])
    y = g.gelu(whole(g.norm(x, f"{layer}/ffn/layer_norm"), "ffn/linear_0"))
    return g.op("Add", [x, g.linear(y, f"{layer}/ffn/linear_1")])
