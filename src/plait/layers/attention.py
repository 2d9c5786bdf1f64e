"""Attention without projections: dot-product and additive."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait.core import random
from plait.core.layer import Layer
from plait.core.spec import TensorSpec, shape_of
from plait.core.variable import Variable
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.layers.dropout import Seed, check_rate


class Attention(Layer):
    """Average values, weighted by how well their keys match each query.

    Call it on ``[query, value]`` or ``[query, value, key]``, of shapes ``(batch, Tq, dim)``,
    ``(batch, Tv, width)`` and ``(batch, Tv, dim)``; without a key the values are the keys. The
    output, ``(batch, Tq, width)``, is ``softmax(scores) @ value`` with
    ``scores = scale * query @ key.T`` (Luong et al. 2015) or, in mode "concat",
    ``weight * sum(tanh(scale * (query + key)))`` (Keras 3).

    Args:
        use_scale: whether to learn the scalar `scale`; it is 1 otherwise.
        score_mode: "dot" or "concat".
        dropout: the rate at which weights are dropped in training.
        seed: makes the draws those of this seed.

    Raises:
        ConfigError: `score_mode` is neither, or `dropout` is not from 0 to 1.
        ArgumentTypeError: when called: the input is no list of two or three tensors.
        ShapeError: when called: the shapes do not match.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> query, value = np.ones((1, 2, 3)), np.ones((1, 4, 3))
        >>> plait.layers.Attention()([query, value]).shape
        (1, 2, 3)
    """

    supports_masking = True
    call_advice: ClassVar[str | None] = "call it on [query, value] or [query, value, key]"

    scale: Variable | None = None
    concat_score_weight: Variable | None = None

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: Seed = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise ConfigError(
                f"{type(self).__name__}: score_mode must be 'dot' or 'concat', "
                f"received {score_mode!r}.",
                fix="score_mode='dot'",
            )
        self.use_scale, self.score_mode = use_scale, score_mode
        self.dropout = check_rate(type(self).__name__, dropout, "dropout")
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Make `scale` and the weight of the mode "concat"."""
        _check_shapes(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                shape=(), initializer="ones", name="concat_score_weight"
            )

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend.

        Args:
            inputs: ``[query, value]`` or ``[query, value, key]``.
            mask: ``[query_mask, value_mask]``, of shapes ``(batch, Tq)`` and ``(batch, Tv)``, each
                of which may be None: values at False are not attended to, and outputs of queries at
                False are 0.
            training: whether weights are dropped.
            return_attention_scores: whether to return the weights, ``(batch, Tq, Tv)``, as well.
            use_causal_mask: whether a query sees no values after its own position.
        """
        query, value, key = _unpack(inputs)
        query_mask, value_mask = _unpack_masks(mask)
        scores = self._scores(query, key)
        seen = None if value_mask is None else value_mask[..., None, :]
        if use_causal_mask:
            causal = causal_mask(scores.shape[-2], scores.shape[-1])
            seen = causal if seen is None else seen & causal
        if seen is not None:
            scores = jnp.where(seen, scores, scores - hidden(scores.dtype))
        weights = jax.nn.softmax(scores, axis=-1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed)
        outputs = weights @ value
        if query_mask is not None:
            outputs = jnp.where(query_mask[..., None], outputs, 0)
        return (outputs, weights) if return_attention_scores else outputs

    def _scores(self, query: jax.Array, key: jax.Array) -> jax.Array:
        if self.concat_score_weight is None:
            scores = jnp.einsum("...qd,...kd->...qk", query, key)
            return scores if self.scale is None else scores * self.scale.value
        sums = query[..., :, None, :] + key[..., None, :, :]
        if self.scale is not None:
            sums = sums * self.scale.value
        return self.concat_score_weight.value * jnp.sum(jnp.tanh(sums), axis=-1)

    def compute_output_spec(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Return the shape of the output, and that of the weights if they are asked for."""
        query, value, key = (shape_of(tensor) or () for tensor in _unpack(inputs))
        outputs = TensorSpec((*query[:-1], value[-1]), self.compute_dtype)
        if not return_attention_scores:
            return outputs
        return outputs, TensorSpec((*query[:-1], key[-2]), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the query."""
        return _unpack_masks(previous_mask)[0]


class AdditiveAttention(Attention):
    """Average values, weighted by ``sum(scale * tanh(query + key))`` (Bahdanau et al. 2015).

    Called as `Attention` is; query and key have the same last axis, `dim`.

    Args:
        use_scale: whether to learn `scale`, of shape ``(dim,)``; it is 1 otherwise.
        dropout: the rate at which weights are dropped in training.

    Raises:
        ConfigError: `dropout` is not from 0 to 1.
        ArgumentTypeError: when called: the input is no list of two or three tensors.
        ShapeError: when called: the shapes do not match.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> query, value = np.ones((1, 2, 3)), np.ones((1, 4, 3))
        >>> plait.layers.AdditiveAttention()([query, value]).shape
        (1, 2, 3)
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make `scale`."""
        _check_shapes(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(
                shape=(input_shape[0][-1],), initializer="glorot_uniform", name="scale"
            )

    def _scores(self, query: jax.Array, key: jax.Array) -> jax.Array:
        matches = jnp.tanh(query[..., :, None, :] + key[..., None, :, :])
        return jnp.sum(matches, axis=-1) if self.scale is None else matches @ self.scale.value


def causal_mask(queries: int, keys: int) -> jax.Array:
    """Return a ``(queries, keys)`` mask that is True where the key is not after the query."""
    return jnp.arange(queries)[:, None] >= jnp.arange(keys)


def hidden(dtype: Any) -> float:
    """Return by how much the score of what must not be seen is lowered (Keras 3)."""
    return 65504.0 if dtype == jnp.float16 else 1e9


def _unpack(inputs: Any) -> tuple[Any, Any, Any]:
    _check_shapes(
        [shape_of(tensor) for tensor in inputs] if isinstance(inputs, list | tuple) else None
    )
    return inputs[0], inputs[1], inputs[-1]


def _check_shapes(shapes: Any) -> None:
    if (
        not isinstance(shapes, list | tuple)
        or len(shapes) not in (2, 3)
        or not all(isinstance(shape, list | tuple) for shape in shapes)
    ):
        raise ArgumentTypeError(
            "takes a list of two or three tensors, [query, value] or [query, value, key].",
            fix=Attention.call_advice,
        )
    query, value, key = shapes[0], shapes[1], shapes[-1]
    for shape in shapes:
        if len(shape) < 2 or len(shape) != len(query):
            raise ShapeError(
                f"cannot attend from {query} to {shape}: both need axes (batch, steps, features).",
                fix="give query, value and key the same number of axes",
            )
    if _differ(query[-1], key[-1]):
        raise ShapeError(
            f"cannot compare query {query} with key {key}: their last axes differ.",
            fix=f"project one first: query = layers.Dense({key[-1]})(query)",
        )
    if _differ(value[-2], key[-2]):
        raise ShapeError(
            f"has {key[-2]} keys for {value[-2]} values: {key} and {value}.",
            fix="give it one key for each value",
        )


def _differ(a: int | None, b: int | None) -> bool:
    return a is not None and b is not None and a != b


def _unpack_masks(mask: Any) -> tuple[Any, Any]:
    if mask is None:
        return None, None
    if not isinstance(mask, list | tuple) or len(mask) not in (2, 3):
        raise ArgumentTypeError(
            "takes its masks as a list, [query_mask, value_mask].", fix="mask=[None, value_mask]"
        )
    query, value = (None if item is None else jnp.asarray(item, bool) for item in mask[:2])
    return query, value
