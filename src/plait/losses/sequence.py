"""Connectionist temporal classification: sequences of labels without their timing."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.errors import ShapeError
from plait.losses.loss import LossFunction
from plait.losses.numeric import floating


def ctc(y_true: Any, y_pred: Any) -> jax.Array:
    """Return the CTC loss (Graves et al., 2006), one number a sequence.

    Args:
        y_true: labels, ``(n, length)``; 0 is the blank and fills up short sequences.
        y_pred: logits, ``(n, time, classes)``.

    Raises:
        ShapeError: other ranks.
    """
    import optax

    labels, logits = jnp.asarray(y_true).astype("int32"), floating(y_pred)
    if labels.ndim != 2 or logits.ndim != 3:
        raise ShapeError(
            f"ctc takes labels (n, length) and logits (n, time, classes), but y_true is "
            f"{labels.shape} and y_pred is {logits.shape}.",
            fix="let the last layer give one row of class logits per time step",
        )
    lengths = jnp.sum(labels != 0, axis=-1, keepdims=True)
    label_paddings = (jnp.arange(labels.shape[1]) >= lengths).astype(logits.dtype)
    return optax.ctc_loss(logits, jnp.zeros(logits.shape[:2], logits.dtype), labels, label_paddings)


class CTC(LossFunction):
    """Compare sequences of labels with logits per time step, whatever the timing.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> import numpy as np
        >>> round(float(losses.CTC()([[1, 2]], np.zeros((1, 4, 3)))), 4)
        1.6864
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ctc",
        dtype: Any = None,
    ) -> None:
        super().__init__(ctc, reduction, name, dtype)
