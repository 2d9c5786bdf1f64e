"""The circle loss, which draws embeddings of one class together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.loss import LossFunction
from plait.losses.masks import attach_mask
from plait.losses.numeric import floating


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> jax.Array:
    """Return the circle loss of embeddings (Sun et al., 2020), one number a sample.

    Args:
        y_true: class numbers, ``(n,)`` or ``(n, 1)``.
        y_pred: embeddings of length 1, ``(n, d)``.
        ref_labels: class numbers to compare with; default: `y_true`.
        ref_embeddings: embeddings to compare with; default: `y_pred`.
        remove_diagonal: leave out the pairs of a sample with itself.
        gamma: scale.
        margin: how far apart classes should be.
    """
    y_pred = floating(y_pred)
    labels = jnp.asarray(y_true).astype("int32").reshape(-1)
    others = labels if ref_labels is None else jnp.asarray(ref_labels).astype("int32").reshape(-1)
    references = y_pred if ref_embeddings is None else floating(ref_embeddings)
    distance = jnp.maximum(1.0 - y_pred @ references.T, 0.0)

    same = labels[:, None] == others[None, :]
    other = ~same
    if remove_diagonal:
        same &= ~jnp.eye(len(labels), len(others), dtype=bool)
    near = -gamma * jnp.maximum(margin + distance, 0.0) * (margin - distance)
    far = gamma * jnp.maximum(1.0 + margin - distance, 0.0) * (1.0 - margin - distance)
    pull = jax.nn.logsumexp(jnp.where(same, near, -jnp.inf), axis=1)
    push = jax.nn.logsumexp(jnp.where(other, far, -jnp.inf), axis=1)
    losses = jax.nn.softplus(pull + push)
    attach_mask(losses, losses > 0)
    return losses


class Circle(LossFunction):
    """Draw embeddings of one class together and push the others away.

    Args:
        gamma: scale.
        margin: how far apart classes should be.
        remove_diagonal: leave out the pairs of a sample with itself.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> float(losses.Circle()([0, 0], [[1.0, 0.0], [1.0, 0.0]]))
        0.0
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            circle,
            reduction,
            name,
            dtype,
            gamma=gamma,
            margin=margin,
            remove_diagonal=remove_diagonal,
        )
