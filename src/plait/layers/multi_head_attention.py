"""Multi-head attention."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait import constraints, initializers, regularizers
from plait.core import random
from plait.core.layer import Layer
from plait.core.spec import TensorSpec, shape_of
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.kernels import attention, attention_weights, weighted
from plait.layers.arguments import whole_number
from plait.layers.attention import causal_mask
from plait.layers.dense import EinsumDense
from plait.layers.dropout import Seed, check_rate

_HEAD, _CHANNEL = "y", "z"


class Projection(EinsumDense):
    """A projection within an attention layer, which itself takes care of masks."""

    warns_of_lost_masks = False


class MultiHeadAttention(Layer):
    """Attend in several learned projections at once (Vaswani et al. 2017).

    Each head projects query and key to `key_dim` and value to `value_dim`, averages the values
    with weights ``softmax(query @ key.T / sqrt(key_dim))``, and all heads are projected back
    together. Its projections are the layers `query`, `key`, `value` and `attention_output`.

    Args:
        num_heads: the number of heads.
        key_dim: the size of queries and keys in each head.
        value_dim: the size of values in each head; default: `key_dim`.
        dropout: the rate at which weights are dropped in training.
        use_bias: whether projections have biases.
        output_shape: the shape of each output step; default: that of the query.
        attention_axes: the axes attended over; default: all between the batch and the features.
        sliding_window: a query at position i sees only keys at positions less than this from i.
        flash_attention: accepted for Keras' sake; how attention is computed is left to XLA.
        kernel_initializer: how the kernels of the projections start.
        bias_initializer: how their biases start.
        kernel_regularizer: a penalty on their kernels.
        bias_regularizer: a penalty on their biases.
        activity_regularizer: a penalty on what each projection returns.
        kernel_constraint: applied to their kernels after each update.
        bias_constraint: applied to their biases after each update.
        use_gate: whether to multiply what the heads return with ``sigmoid(gate(query))``, one
            projection more (Qiu et al. 2025).
        seed: makes the draws of dropout those of this seed.

    Raises:
        ConfigError: a size that is not a positive whole number, or `dropout` not from 0 to 1.
        ShapeError: when called: query, value and key do not match, or lack an attention axis.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> x = np.ones((1, 5, 16))
        >>> layer = plait.layers.MultiHeadAttention(num_heads=2, key_dim=8)
        >>> layer(x, x, use_causal_mask=True).shape
        (1, 5, 16)
    """

    supports_masking = True
    call_advice: ClassVar[str | None] = "call it on query and value: attention(x, x)"

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        who = "MultiHeadAttention"
        self.num_heads = whole_number(who, "num_heads", num_heads)
        self.key_dim = whole_number(who, "key_dim", key_dim)
        self.value_dim = (
            self.key_dim if value_dim is None else whole_number(who, "value_dim", value_dim)
        )
        if sliding_window is not None:
            whole_number(who, "sliding_window", sliding_window)
        self.dropout = check_rate(who, dropout, "dropout")
        self.use_bias, self.use_gate, self.seed = use_bias, use_gate, seed
        self.sliding_window, self.flash_attention = sliding_window, flash_attention
        self.attention_axes = _whole_numbers(who, "attention_axes", attention_axes)
        self._output_sizes = _whole_numbers(who, "output_shape", output_shape)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self._projection_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(  # type: ignore[override]
        self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None
    ) -> None:
        """Make the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        _check_shapes(query_shape, value_shape, key_shape)
        rank = len(query_shape)
        self._score_equation, self._combine_equation = _equations(rank, self._axes(rank))
        letters = string.ascii_lowercase[:rank]
        free = letters[:-1]
        into_heads = f"{letters},{letters[-1]}{_HEAD}{_CHANNEL}->{free}{_HEAD}{_CHANNEL}"
        steps = (None,) * (rank - 2)

        def heads(name: str, shape: Shape, size: int, activation: Any = None) -> Projection:
            layer = self._projection(
                name,
                into_heads,
                (*steps, self.num_heads, size),
                _HEAD + _CHANNEL,
                activation,
            )
            layer.build(shape)
            layer.built = True
            return layer

        self.query_dense = heads("query", query_shape, self.key_dim)
        self.key_dense = heads("key", key_shape, self.key_dim)
        if self.use_gate:
            self.gate_dense = heads("gate", query_shape, self.value_dim, "sigmoid")
        self.value_dense = heads("value", value_shape, self.value_dim)
        sizes = self._output_sizes or (query_shape[-1],)
        out = string.ascii_uppercase[: len(sizes)]
        self.output_dense = self._projection(
            "attention_output",
            f"{free}{_HEAD}{_CHANNEL},{_HEAD}{_CHANNEL}{out}->{free}{out}",
            (*steps, *sizes),
            out,
        )
        self.output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))
        self.output_dense.built = True

    def _projection(
        self, name: str, equation: str, shape: Any, bias_axes: str, activation: Any = None
    ) -> Projection:
        return Projection(
            equation,
            shape,
            activation=activation,
            bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            activity_regularizer=self._projection_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def _axes(self, rank: int) -> tuple[int, ...]:
        if self.attention_axes is None:
            return tuple(range(1, rank - 1))
        axes = tuple(axis % rank if -rank <= axis < rank else axis for axis in self.attention_axes)
        for given, axis in zip(self.attention_axes, axes, strict=True):
            if not 1 <= axis < rank - 1:
                raise ShapeError(
                    f"cannot attend over axis {given} of an input with {rank} axes: the first is "
                    "the batch and the last holds the features.",
                    fix="attention_axes=1",
                )
        return axes

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend from each step of `query` to the steps of `value`.

        Args:
            query: ``(batch, T, features)``.
            value: ``(batch, S, features)``.
            key: ``(batch, S, features)``; default: the value.
            query_mask: ``(batch, T)``; queries at False see nothing.
            value_mask: ``(batch, S)``; values at False are not seen.
            key_mask: ``(batch, S)``; keys at False are not seen.
            attention_mask: ``(batch, T, S)`` or ``(batch, heads, T, S)``: True where a query may
                see a key.
            return_attention_scores: whether to return the weights, ``(batch, heads, T, S)``, too.
            training: whether weights are dropped.
            use_causal_mask: whether a query sees no keys after its own position.
        """
        key = value if key is None else key
        _check_shapes(*(shape_of(tensor) for tensor in (query, value, key)))
        mask = self._mask(
            query.shape, value.shape, query_mask, (value_mask, key_mask), attention_mask,
            use_causal_mask,
        )  # fmt: skip
        queries, keys = self.query_dense(query), self.key_dense(key)
        values = self.value_dense(value)
        drops = training and self.dropout > 0
        # Keras averages all values where a query sees none, except where it has the weights at
        # hand: there the output is 0.
        sees_none_gets_zero = self.dropout > 0 or return_attention_scores or query.ndim != 3
        weights = None
        if query.ndim == 3 and not drops and not return_attention_scores:
            outputs = attention(queries, keys, values, mask)
            if mask is not None and sees_none_gets_zero:
                sees = jnp.any(mask, axis=-1, keepdims=True)
                outputs = jnp.where(jnp.swapaxes(sees, 1, 2), outputs, 0)
        else:
            weights = self._weights(queries, keys, mask, sees_none_gets_zero)
            kept = random.dropout(weights, self.dropout, seed=self.seed) if drops else weights
            outputs = self._outputs(kept, values)
        if self.use_gate:
            outputs = outputs * self.gate_dense(query)
        outputs = self.output_dense(outputs)
        return (outputs, weights) if return_attention_scores else outputs

    def _weights(
        self, query: jax.Array, key: jax.Array, mask: Any, zero_where_hidden: bool
    ) -> jax.Array:
        if query.ndim == 4:
            weights = attention_weights(query, key, mask)
        else:
            query = query * (1.0 / math.sqrt(self.key_dim))
            precise = jnp.promote_types(query.dtype, jnp.float32)
            scores = jnp.einsum(self._score_equation, query, key, preferred_element_type=precise)
            if mask is not None:
                scores = jnp.where(mask, scores, -1e9)
            axes = tuple(range(-len(self._axes(query.ndim - 1)), 0))
            weights = jax.nn.softmax(scores, axis=axes).astype(query.dtype)
        return jnp.where(mask, weights, 0) if mask is not None and zero_where_hidden else weights

    def _outputs(self, weights: jax.Array, value: jax.Array) -> jax.Array:
        if value.ndim == 4:
            return weighted(weights, value)
        return jnp.einsum(self._combine_equation, weights, value)

    def _mask(
        self,
        query_shape: tuple[int, ...],
        key_shape: tuple[int, ...],
        query_mask: Any,
        key_masks: tuple[Any, Any],
        attention_mask: Any,
        use_causal_mask: bool,
    ) -> Any:
        """Return what may be seen, broadcast against the scores; None: everything."""
        rank = len(query_shape)
        axes = self._axes(rank)
        queries, keys = query_shape[axes[0]], key_shape[axes[0]]
        parts = [] if attention_mask is None else [jnp.asarray(attention_mask, bool)]
        if query_mask is not None:
            parts.append(jnp.asarray(query_mask, bool)[..., :, None])
        parts += [jnp.asarray(m, bool)[..., None, :] for m in key_masks if m is not None]
        if use_causal_mask:
            parts.append(causal_mask(queries, keys))
        if self.sliding_window is not None:
            distance = jnp.abs(jnp.arange(queries)[:, None] - jnp.arange(keys))
            parts.append(distance < self.sliding_window)
        for index, part in enumerate(parts):
            missing = rank + len(axes) - part.ndim
            heads = part.ndim - 2 * len(axes)
            if heads < 0:
                raise ShapeError(
                    f"attends over {len(axes)} axes at once; a mask of shape {part.shape} speaks "
                    "of one.",
                    fix="say what each query may see of each key with attention_mask",
                )
            parts[index] = jnp.expand_dims(part, tuple(range(heads, heads + missing)))
        return functools.reduce(jnp.logical_and, parts) if parts else None

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Return the shape of the output, and that of the weights if they are asked for."""
        shape, value_shape = shape_of(query) or (), shape_of(value) or ()
        key_shape = value_shape if key is None else shape_of(key) or ()
        _check_shapes(shape, value_shape, key_shape)
        sizes = self._output_sizes or (shape[-1],)
        outputs = TensorSpec((*shape[:-1], *sizes), self.compute_dtype)
        if not return_attention_scores:
            return outputs
        axes = self._axes(len(shape))
        scores = (
            *(shape[axis] for axis in range(len(shape) - 1) if axis not in axes),
            self.num_heads,
            *(shape[axis] for axis in axes),
            *(key_shape[axis] for axis in axes),
        )
        return outputs, TensorSpec(scores, self.compute_dtype)


def _equations(rank: int, axes: Sequence[int]) -> tuple[str, str]:
    """Return the einsums of scores and outputs; heads and axes not attended over are a batch."""
    query = string.ascii_lowercase[: rank - 1]
    key = "".join(c.upper() if axis in axes else c for axis, c in enumerate(query))
    batch = "".join(c for axis, c in enumerate(query) if axis not in axes)
    scores = batch + _HEAD + "".join(query[a] for a in axes) + "".join(key[a] for a in axes)
    query, key = query + _HEAD + _CHANNEL, key + _HEAD + _CHANNEL
    return f"{query},{key}->{scores}", f"{scores},{key}->{query}"


def _whole_numbers(who: str, name: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not numbers or not all(isinstance(number, int) for number in numbers):
        raise ConfigError(
            f"{who}: {name} is a whole number or a tuple of them, received {value!r}.",
            fix=f"{name}=1",
        )
    return numbers


def _check_shapes(query: Any, value: Any, key: Any) -> None:
    if not len(query) == len(value) == len(key) or len(query) < 3:
        raise ShapeError(
            f"cannot attend from {query} to {value}: both need axes (batch, steps, features).",
            fix="add an axis of steps: layers.Reshape((1, -1))",
        )
    if any(a != b for a, b in zip(value[1:-1], key[1:-1], strict=True) if None not in (a, b)):
        raise ShapeError(
            f"needs one key for each value, received {key} and {value}.",
            fix="give key and value the same steps",
        )
