"""Attention: dot-product, additive and multi-head."""

from __future__ import annotations

import functools
import math
from typing import Any

from plait import layers
from plait.layers.multi_head_attention import Projection
from plait.saving.onnx.arrays import arange, expand_dims, greater, logical, size, unary
from plait.saving.onnx.basic import convert_einsum_dense
from plait.saving.onnx.converters import call
from plait.saving.onnx.reductions import einsum, matmul, softmax, total
from plait.saving.onnx.registry import mask_of, onnx_converter, refuse
from plait.saving.onnx.tensor import Constant, Tensor, cast, constant, elementwise, where


def causal_mask(queries: Tensor, keys: Tensor, axis: int) -> Any:
    """Return where the key is not after the query, of two tensors with steps on an axis."""
    first, second = _positions(queries, keys, axis)
    return _compared(first, second, lambda a, b: a >= b, "GreaterOrEqual")


def _positions(queries: Tensor, keys: Tensor, axis: int) -> tuple[Any, Any]:
    writer = queries.writer
    first = arange(size(queries, axis), writer)
    return expand_dims(first, 1), arange(size(keys, axis), writer)


def _compared(first: Any, second: Any, function: Any, kind: str) -> Any:
    if isinstance(first, Constant) and isinstance(second, Constant):
        return Constant(function(first.array, second.array))
    return elementwise(kind, first, second, out="bool")


def _scores(layer: layers.Attention, query: Tensor, key: Tensor) -> Tensor:
    if layer.concat_score_weight is None:
        scores = einsum("...qd,...kd->...qk", query, key)
        return scores if layer.scale is None else scores * layer.scale
    sums = expand_dims(query, -2) + expand_dims(key, -3)
    if layer.scale is not None:
        sums = sums * layer.scale
    return total(unary("Tanh", sums), -1) * layer.concat_score_weight


def _attend(
    layer: Any,
    scores: Tensor,
    query: Tensor,
    value: Tensor,
    key: Tensor,
    mask: Any,
    return_attention_scores: bool,
    use_causal_mask: bool,
) -> Any:
    query_mask, value_mask = (None, None) if mask is None else (mask[0], mask[1])
    seen = None if value_mask is None else expand_dims(value_mask, -2)
    if use_causal_mask:
        causal = causal_mask(query, key, -2)
        seen = causal if seen is None else logical("And", seen, causal)
    if seen is not None:
        scores = where(seen, scores, scores - 1e9)
    weights = softmax(scores, -1)
    outputs = matmul(weights, value)
    if query_mask is not None:
        outputs = where(expand_dims(query_mask, -1), outputs, 0.0)
    return (outputs, weights) if return_attention_scores else outputs


@onnx_converter(layers.Attention)
def convert_attention(
    layer: layers.Attention,
    inputs: Any,
    mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    """Write `Attention`."""
    query, value, key = inputs[0], inputs[1], inputs[-1]
    return _attend(
        layer, _scores(layer, query, key), query, value, key, mask, return_attention_scores,
        use_causal_mask,
    )  # fmt: skip


@onnx_converter(layers.AdditiveAttention)
def convert_additive_attention(
    layer: layers.AdditiveAttention,
    inputs: Any,
    mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    """Write `AdditiveAttention`."""
    query, value, key = inputs[0], inputs[1], inputs[-1]
    matches = unary("Tanh", expand_dims(query, -2) + expand_dims(key, -3))
    scores = total(matches, -1) if layer.scale is None else matmul(matches, layer.scale)
    return _attend(layer, scores, query, value, key, mask, return_attention_scores, use_causal_mask)


@mask_of(layers.Attention, layers.AdditiveAttention)
def mask_of_attention(layer: Any, inputs: Any, previous: Any) -> Any:
    """Return the mask of the query."""
    return None if previous is None else previous[0]


onnx_converter(Projection)(convert_einsum_dense)


@onnx_converter(layers.MultiHeadAttention)
def convert_multi_head_attention(
    layer: layers.MultiHeadAttention,
    query: Tensor,
    value: Tensor,
    key: Any = None,
    query_mask: Any = None,
    value_mask: Any = None,
    key_mask: Any = None,
    attention_mask: Any = None,
    return_attention_scores: bool = False,
    use_causal_mask: bool = False,
) -> Any:
    """Write `MultiHeadAttention`."""
    key = value if key is None else key
    mask = _mask(
        layer, query, value, query_mask, (value_mask, key_mask), attention_mask, use_causal_mask
    )
    queries, keys = call(layer.query_dense, query), call(layer.key_dense, key)
    scores = einsum(layer._score_equation, queries * (1.0 / math.sqrt(layer.key_dim)), keys)
    if mask is not None:
        scores = where(mask, scores, -1e9)
    attended = len(layer._axes(query.ndim))
    weights = softmax(scores, tuple(range(-attended, 0)))
    zero_where_hidden = layer.dropout > 0 or return_attention_scores or query.ndim != 3
    if mask is not None and zero_where_hidden:
        weights = where(mask, weights, 0.0)
    outputs = einsum(layer._combine_equation, weights, call(layer.value_dense, value))
    if layer.use_gate:
        outputs = outputs * call(layer.gate_dense, query)
    outputs = call(layer.output_dense, outputs)
    return (outputs, weights) if return_attention_scores else outputs


def _mask(
    layer: layers.MultiHeadAttention,
    query: Tensor,
    value: Tensor,
    query_mask: Any,
    key_masks: tuple[Any, Any],
    attention_mask: Any,
    use_causal_mask: bool,
) -> Any:
    """Return what may be seen, broadcast against the scores; None: everything."""
    rank = query.ndim
    axes = layer._axes(rank)
    parts = [] if attention_mask is None else [_true(attention_mask)]
    if query_mask is not None:
        parts.append(expand_dims(_true(query_mask), -1))
    parts += [expand_dims(_true(mask), -2) for mask in key_masks if mask is not None]
    if use_causal_mask:
        parts.append(causal_mask(query, value, axes[0]))
    if layer.sliding_window is not None:
        first, second = _positions(query, value, axes[0])
        near = layer.sliding_window
        if isinstance(first, Constant) and isinstance(second, Constant):
            parts.append(Constant(abs(first.array - second.array) < near))
        else:
            distance = elementwise("Abs", elementwise("Sub", first, second))
            parts.append(greater(near, distance))
    for index, part in enumerate(parts):
        missing = rank + len(axes) - part.ndim
        heads = part.ndim - 2 * len(axes)
        if heads < 0:
            refuse(f"it attends over {len(axes)} axes at once, and its mask speaks of one.")
        parts[index] = expand_dims(part, tuple(range(heads, heads + missing)))
    return functools.reduce(_both, parts) if parts else None


def _true(mask: Any) -> Any:

    return cast(mask, "bool") if isinstance(mask, Tensor) else constant(mask).cast("bool")


def _both(a: Any, b: Any) -> Any:
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(a.array & b.array)
    return logical("And", a, b)
