"""Turn one value per sample, weights and a mask into a loss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.errors import ConfigError, ShapeError
from plait.losses.numeric import divide_no_nan, floating
from plait.losses.shapes import aligned, broadcasts_to

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


def check_reduction(reduction: str | None) -> str | None:
    """Return `reduction` if it is one.

    Raises:
        ConfigError: it is not in `REDUCTIONS`.
    """
    if reduction not in REDUCTIONS:
        raise ConfigError(
            f"there is no reduction {reduction!r}.",
            fix=f"one of {', '.join(map(repr, REDUCTIONS))}",
        )
    return reduction


def reduce_weighted(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
) -> jax.Array:
    """Weight and reduce values, with Keras' meaning of each reduction.

    ``"sum_over_batch_size"`` (or ``"mean"``) divides by the number of values, of which masked ones
    do not count; ``"mean_with_sample_weight"`` divides by the sum of the weights; ``"sum"`` divides
    by nothing; ``"none"`` or None leave the weighted values. A scalar is never reduced.

    Args:
        values: losses, ``(n,)`` or ``(n, ...)``.
        sample_weight: ``(n,)``, or more dimensions of `values`; weights meet values from the first
            dimension on (Keras aligns ``(n,)`` with the *last* dimension of ``(n, n)``).
        mask: entries that are False count for nothing; shaped as `sample_weight`.
        reduction: see above.

    Raises:
        ShapeError: weights or mask do not fit the values.
        ConfigError: there is no such reduction.
    """
    check_reduction(reduction)
    values = floating(values)
    average = reduction in ("sum_over_batch_size", "mean")
    weights = masked_weights(sample_weight, mask, values.dtype, average)
    if weights is not None:
        values, weights = weigh(values, weights)
    if reduction in (None, "none") or values.shape in ((), (0,)):
        return values
    total = jnp.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        return divide_no_nan(total, jnp.sum(weights))
    if isinstance(values.size, int):
        return total / max(values.size, 1)
    return divide_no_nan(total, jnp.asarray(values.size, total.dtype))


def masked_weights(
    sample_weight: Any, mask: Any, dtype: Any, average: bool = False
) -> jax.Array | None:
    """Return weights that are 0 where the mask is, or None without weights and mask.

    Args:
        sample_weight: weights, or None.
        mask: which entries count, or None.
        dtype: of the weights.
        average: scale the mask by (all entries / valid entries), so that a mean over all entries
            becomes one over the valid ones.
    """
    weights = None if sample_weight is None else jnp.asarray(sample_weight, dtype)
    if mask is None:
        return weights
    kept = jnp.asarray(mask, dtype)
    if average:
        kept = jnp.where(kept != 0, divide_no_nan(kept.size, jnp.sum(kept)), 0).astype(dtype)
    if weights is None:
        return kept
    kept, weights = aligned(kept, weights)
    return kept * weights


def weigh(values: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return weighted values, and the weights brought to the rank of the values.

    Raises:
        ShapeError: the weights would enlarge values that are not a scalar.
    """
    given, weights_given = values.shape, weights.shape
    values, weights = aligned(values, weights)
    if given and not broadcasts_to(weights.shape, values.shape):
        raise ShapeError(
            f"weights of shape {weights_given} do not fit values of shape {given}.",
            details=[("values", given), ("sample_weight (or mask)", weights_given)],
            fix=f"one weight per sample: sample_weight of shape {given[:1]}",
        )
    return values * weights, weights
