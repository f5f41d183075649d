"""Whisper's decoder for one or several tokens at once, as an ONNX graph."""

from typing import Any

from onnx import TensorProto

from pipeline.engines.stt.whisper_onnx.converted_weights import ConvertedWeights
from pipeline.engines.stt.whisper_onnx.graph_builder import GraphBuilder
from pipeline.engines.stt.whisper_onnx.names import (
    EMBEDDED,
    KEYS,
    LOGITS,
    MASK,
    NEXT_KEYS,
    NEXT_VALUES,
    PAST_KEYS,
    PAST_VALUES,
    ROWS,
    SILENT_KEYS,
    SILENT_VALUES,
    VALUES,
)


def decoder_graph(weights: ConvertedWeights, *, unsigned: bool) -> bytes:
    """Tokens, with what came before them and what was heard, to the logits of what comes next. Products are by rows.

    Inputs: `EMBEDDED` (n, width), `MASK` (n, p + n) to be added to the scores of attention, `ROWS` (r,) whose logits
    are wanted; for each layer `PAST_KEYS` (heads, d, p) and `PAST_VALUES` (heads, p, d), `KEYS` and `VALUES` of t
    states that were heard, `SILENT_KEYS` and `SILENT_VALUES` of s states behind them. Outputs: `LOGITS` (r, words);
    `NEXT_KEYS`, `NEXT_VALUES` of p + n.
    """
    g, d = GraphBuilder(weights, unsigned=unsigned), weights.width // weights.heads
    inputs: list[tuple[str, Any, list[str | int]]] = [
        (EMBEDDED, TensorProto.FLOAT, ["n", weights.width]),
        (MASK, TensorProto.FLOAT, ["n", "p+n"]),
        (ROWS, TensorProto.INT64, ["r"]),
    ]
    outputs: list[tuple[str, list[str | int]]] = [(LOGITS, ["r", weights.words])]
    x = EMBEDDED
    for number in range(weights.decoder_layers):
        x = _layer(g, x, number)
        for keys, values, count in (
            (PAST_KEYS, PAST_VALUES, "p"),
            (KEYS, VALUES, "t"),
            (SILENT_KEYS, SILENT_VALUES, "s"),
        ):
            inputs.append((f"{keys}{number}", TensorProto.FLOAT, [weights.heads, d, count]))
            inputs.append((f"{values}{number}", TensorProto.FLOAT, [weights.heads, count, d]))
        outputs.append((f"{NEXT_KEYS}{number}", [weights.heads, d, "p+n"]))
        outputs.append((f"{NEXT_VALUES}{number}", [weights.heads, "p+n", d]))
    last = g.norm(g.op("Gather", [x, ROWS], axis=0), "decoder/layer_norm")
    g.op("Identity", [g.product(last, weights["decoder/embeddings/weight"])], LOGITS)
    return g.model(inputs, outputs)


def _layer(g: GraphBuilder, x: str, number: int) -> str:
    layer = f"decoder/layer_{number}"
    x = g.op("Add", [x, _self_attention(g, g.norm(x, f"{layer}/self_attention/layer_norm"), number)])
    x = g.op("Add", [x, _cross_attention(g, g.norm(x, f"{layer}/attention/layer_norm"), number)])
    y = g.gelu(g.linear(g.norm(x, f"{layer}/ffn/layer_norm"), f"{layer}/ffn/linear_0"))
    return g.op("Add", [x, g.linear(y, f"{layer}/ffn/linear_1")])


def _self_attention(g: GraphBuilder, x: str, number: int) -> str:
    layer, width = f"decoder/layer_{number}/self_attention", g.weights.width
    weight, bias = g.weights[f"{layer}/linear_0/weight"], g.weights[f"{layer}/linear_0/bias"]
    weight[:width] *= _scale(g)
    bias[:width] *= _scale(g)
    query, key, value = g.split(g.product(x, weight, bias), 3)
    keys = g.op("Concat", [f"{PAST_KEYS}{number}", g.in_heads(key, lying=True)], f"{NEXT_KEYS}{number}", axis=2)
    values = g.op("Concat", [f"{PAST_VALUES}{number}", g.in_heads(value)], f"{NEXT_VALUES}{number}", axis=1)
    scores = g.op("Add", [g.op("MatMul", [g.in_heads(query), keys]), MASK])
    return g.linear(g.from_heads(g.op("MatMul", [_shares(g, scores), values])), f"{layer}/linear_1")


def _cross_attention(g: GraphBuilder, x: str, number: int) -> str:
    """To the states that were heard and the silence behind them, which are not put together: that would copy them."""
    layer = f"decoder/layer_{number}/attention"
    query = g.in_heads(g.linear(x, f"{layer}/linear_0", times=_scale(g)))
    heard = g.op("MatMul", [query, f"{KEYS}{number}"])
    silent = g.op("MatMul", [query, f"{SILENT_KEYS}{number}"])
    shares = _shares(g, g.op("Concat", [heard, silent], axis=2))
    count, end = g.op("Shape", [heard], start=2, end=3), g.integers(1 << 30)
    axis = g.integers(2)
    of_heard = g.op("MatMul", [g.op("Slice", [shares, g.integers(0), count, axis]), f"{VALUES}{number}"])
    of_silent = g.op("MatMul", [g.op("Slice", [shares, count, end, axis]), f"{SILENT_VALUES}{number}"])
    return g.linear(g.from_heads(g.op("Add", [of_heard, of_silent])), f"{layer}/linear_2")


def _shares(g: GraphBuilder, scores: str) -> str:
    return g.op("Softmax", [scores], axis=-1)


def _scale(g: GraphBuilder) -> float:
    return float((g.weights.width // g.weights.heads) ** -0.5)
