"""Counts of right and wrong yes/no predictions at thresholds, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from plait.errors import ConfigError, ShapeError
from plait.losses.numeric import EPSILON
from plait.losses.shapes import aligned, broadcasts_to, paired

NEVER = -1e10
"""A score below every threshold."""


class Counts(NamedTuple):
    """Weighted counts: ``(thresholds,)``, or ``(thresholds, labels)``."""

    true_positives: jax.Array
    false_positives: jax.Array
    true_negatives: jax.Array
    false_negatives: jax.Array


def count(
    function: str,
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    sample_weight: Any = None,
    *,
    top_k: int | None = None,
    class_id: int | None = None,
    multi_label: bool = False,
    label_weights: Any = None,
) -> Counts:
    """Count predictions above each threshold, by what the targets are.

    Args:
        function: the name for messages.
        y_true: targets; everything but 0 is a yes.
        y_pred: scores in [0, 1], shaped as `y_true`.
        thresholds: a score above one is a positive. Evenly spaced ones are counted by sorting
            scores into bins, in time independent of their number (Keras' way, with the same
            rounding at the edges).
        sample_weight: one weight per sample or position.
        top_k: only the `k` largest scores of each row can be positive.
        class_id: look at this class only, along the last dimension.
        multi_label: count every label (second dimension) apart.
        label_weights: one weight per label, where labels are not counted apart.

    Raises:
        ShapeError: targets, scores and weights do not fit together.
    """
    y_true, y_pred = paired(function, y_true, y_pred)
    weights = _weights(function, y_pred, sample_weight)
    if top_k is not None:
        _, best = jax.lax.top_k(y_pred, top_k)
        among = jnp.sum(jax.nn.one_hot(best, y_pred.shape[-1]), axis=-2)
        y_pred = jnp.where(among > 0, y_pred, NEVER)
    if class_id is not None:
        y_true, y_pred, weights = _of_class(function, class_id, y_true, y_pred, weights)
    weights = jnp.broadcast_to(weights, y_pred.shape)
    if label_weights is not None:
        weights = weights * jnp.asarray(label_weights, weights.dtype)
    labels = y_pred.shape[-1] if multi_label else 1
    yes = y_true.reshape(-1, labels) != 0
    weights = weights.reshape(-1, labels)
    weighted = jnp.stack([jnp.where(yes, weights, 0), jnp.where(yes, 0, weights)])

    counter = _count_binned if evenly_spaced(thresholds) else _count_compared
    positives = counter(y_pred.reshape(-1, labels), weighted, np.asarray(thresholds, np.float32))
    if not multi_label:
        positives, weighted = positives[..., 0], weighted[..., 0]
    negatives = jnp.sum(weighted, axis=1)[:, None] - positives
    return Counts(positives[0], positives[1], negatives[1], negatives[0])


def evenly_spaced(thresholds: Sequence[float]) -> bool:
    """Return whether thresholds divide [0, 1] evenly, the outer ones up to 1e-7 outside."""
    size = len(thresholds)
    even = np.arange(size, dtype=np.float32) / max(size - 1, 1)
    return size >= 3 and np.allclose(thresholds, even, atol=EPSILON)


def parse_thresholds(thresholds: Any, default: float) -> list[float]:
    """Return thresholds as a list.

    Raises:
        ConfigError: one lies outside [0, 1].
    """
    if thresholds is None:
        return [default]
    values = list(thresholds) if isinstance(thresholds, Sequence | np.ndarray) else [thresholds]
    wrong = [value for value in values if value is None or not 0 <= value <= 1]
    if wrong:
        raise ConfigError(f"thresholds lie in [0, 1]; received {wrong}.", fix="thresholds=0.5")
    return values


def spread_thresholds(number: int) -> list[float]:
    """Return `number` thresholds from 0 to 1; a single one is 0.5."""
    return [0.5] if number == 1 else [i / (number - 1) for i in range(number)]


def _count_compared(y_pred: jax.Array, weighted: jax.Array, thresholds: np.ndarray) -> jax.Array:
    above = y_pred > thresholds[:, None, None].astype(y_pred.dtype)
    return jnp.sum(jnp.where(above, weighted[:, None], 0), axis=2)


def _count_binned(y_pred: jax.Array, weighted: jax.Array, thresholds: np.ndarray) -> jax.Array:
    steps = len(thresholds) - 1
    bins = (jnp.ceil(jnp.clip(y_pred, 0.0, 1.0) * steps) - 1).astype("int32")
    if thresholds[0] < 0.0 or thresholds[-1] > 1.0:
        bins = jnp.maximum(bins, 0)

    def above(bins: jax.Array, weighted: jax.Array) -> jax.Array:
        sums = jax.ops.segment_sum(weighted, bins, len(thresholds))
        return jnp.cumsum(sums[::-1])[::-1]

    per_label = jax.vmap(above, in_axes=1, out_axes=1)
    return jax.vmap(per_label, in_axes=(None, 0))(bins, weighted)


def _weights(function: str, y_pred: jax.Array, sample_weight: Any) -> jax.Array:
    if sample_weight is None:
        return jnp.ones((1,) * y_pred.ndim, y_pred.dtype)
    given = jnp.asarray(sample_weight, y_pred.dtype)
    _, weights = aligned(y_pred, given)
    if not broadcasts_to(weights.shape, y_pred.shape):
        raise ShapeError(
            f"{function}: weights of shape {given.shape} do not fit predictions of shape "
            f"{y_pred.shape}.",
            fix=f"one weight per sample: sample_weight of shape {y_pred.shape[:1]}",
        )
    return weights


def _of_class(
    function: str, class_id: int, y_true: jax.Array, y_pred: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    if y_pred.ndim < 2 or class_id >= y_pred.shape[-1]:
        raise ShapeError(
            f"{function} looks at class_id={class_id}, but predictions of shape {y_pred.shape} "
            "have no such class.",
            fix="give predictions of shape (samples, classes)",
        )
    return (
        y_true[..., class_id, None],
        y_pred[..., class_id, None],
        weights if weights.shape[-1] == 1 else weights[..., class_id, None],
    )
