"""Binary and categorical crossentropies, and their focal forms."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp

from plait.losses.loss import LossFunction
from plait.losses.numeric import clip_probability, log_probability
from plait.losses.shapes import paired


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """Return the mean of ``-y * log(p) - (1 - y) * log(1 - p)`` over `axis`.

    Args:
        y_true: targets in [0, 1].
        y_pred: probabilities, kept 1e-7 from 0 and 1; or logits.
        from_logits: `y_pred` are logits; exact for any size of them.
        label_smoothing: 0 and 1 become ``s / 2`` and ``1 - s / 2``.
        axis: over which the mean is taken.

    Raises:
        ShapeError: `y_true` and `y_pred` differ by more than a last dimension of 1.
    """
    y_true, y_pred = paired("binary_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2)
    return jnp.mean(_binary(y_true, y_pred, from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """Return the binary crossentropy with easy examples weighted down (Lin et al., 2017).

    Each term is multiplied by ``(1 - p_t)**gamma``, where ``p_t`` is the probability given to the
    target, and with class balancing by `alpha` for 1 and ``1 - alpha`` for 0.

    Args:
        y_true: targets in [0, 1].
        y_pred: probabilities or logits.
        apply_class_balancing: whether `alpha` is used.
        alpha: weight of class 1.
        gamma: 0 is the crossentropy itself.
        from_logits: `y_pred` are logits.
        label_smoothing: 0 and 1 become ``s / 2`` and ``1 - s / 2``.
        axis: over which the mean is taken.
    """
    y_true, y_pred = paired("binary_focal_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2)
    p = jax.nn.sigmoid(y_pred) if from_logits else y_pred
    p_target = y_true * p + (1.0 - y_true) * (1.0 - p)
    loss = (1.0 - p_target) ** gamma * _binary(y_true, p, from_logits=False)
    if apply_class_balancing:
        loss = loss * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return jnp.mean(loss, axis=axis)


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """Return ``-sum(y_true * log(p))`` over the classes.

    Args:
        y_true: one-hot targets or distributions, shaped as `y_pred`.
        y_pred: probabilities, which are divided by their sum and kept 1e-7 from 0 and 1; or logits.
        from_logits: `y_pred` are logits.
        label_smoothing: targets become ``y * (1 - s) + s / classes``.
        axis: where the classes are.

    Raises:
        ShapeError: `y_true` and `y_pred` differ in shape.
    """
    y_true, y_pred = paired("categorical_crossentropy", y_true, y_pred)
    _warn_of_one_class("categorical_crossentropy", y_pred, axis)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    return -jnp.sum(y_true * log_probability(y_pred, from_logits, axis), axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> jax.Array:
    """Return ``-sum(alpha * (1 - p)**gamma * y_true * log(p))`` (Lin et al., 2017).

    Args:
        y_true: one-hot targets, shaped as `y_pred`.
        y_pred: probabilities or logits.
        alpha: weight of every class, or one weight a class.
        gamma: how much easy examples are weighted down.
        from_logits: `y_pred` are logits.
        label_smoothing: targets become ``y * (1 - s) + s / classes``.
        axis: where the classes are.
    """
    y_true, y_pred = paired("categorical_focal_crossentropy", y_true, y_pred)
    _warn_of_one_class("categorical_focal_crossentropy", y_pred, axis)
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    p = jax.nn.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = clip_probability(p / jnp.sum(p, axis=axis, keepdims=True))
    factor = jnp.asarray(alpha, p.dtype) * (1.0 - p) ** gamma
    return jnp.sum(-factor * y_true * jnp.log(p), axis=axis)


def _binary(y_true: jax.Array, y_pred: jax.Array, from_logits: bool) -> jax.Array:
    if from_logits:
        log_p, log_q = jax.nn.log_sigmoid(y_pred), jax.nn.log_sigmoid(-y_pred)
    else:
        p = clip_probability(y_pred)
        log_p, log_q = jnp.log(p), jnp.log(1.0 - p)
    return -y_true * log_p - (1.0 - y_true) * log_q


def _smoothed(y_true: jax.Array, amount: float, classes: int) -> jax.Array:
    return y_true * (1.0 - amount) + amount / classes if amount else y_true


def _warn_of_one_class(function: str, y_pred: jax.Array, axis: int) -> None:
    if y_pred.shape[axis] == 1:
        warnings.warn(
            f"{function} of a single class is always 0: y_pred is {y_pred.shape}. "
            "Use 'binary_crossentropy' for one unit, or give the last layer one unit per class.",
            SyntaxWarning,
            stacklevel=3,
        )


class BinaryCrossentropy(LossFunction):
    """Compare yes/no targets with probabilities, see `binary_crossentropy`.

    Args:
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; how far targets are moved to the uniform distribution.
        axis: over which the mean is taken.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.BinaryCrossentropy()([[0.0, 1.0]], [[0.1, 0.8]])), 4)
        0.1643
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class BinaryFocalCrossentropy(LossFunction):
    """Compare yes/no targets, hard examples first, see `binary_focal_crossentropy`.

    Args:
        apply_class_balancing: whether `alpha` is used.
        alpha: weight of class 1.
        gamma: how much easy examples are weighted down.
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; how far targets are moved to the uniform distribution.
        axis: over which the mean is taken.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.BinaryFocalCrossentropy()([[0.0, 1.0]], [[0.1, 0.8]])), 4)
        0.005
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalCrossentropy(LossFunction):
    """Compare one-hot targets with class probabilities, see `categorical_crossentropy`.

    Args:
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; how far targets are moved to the uniform distribution.
        axis: where the classes are.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> loss = losses.CategoricalCrossentropy(from_logits=True)
        >>> round(float(loss([[0.0, 1.0]], [[1.0, 2.0]])), 4)
        0.3133
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(LossFunction):
    """Compare one-hot targets, hard examples first, see `categorical_focal_crossentropy`.

    Args:
        alpha: weight of every class, or one weight a class.
        gamma: how much easy examples are weighted down.
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; how far targets are moved to the uniform distribution.
        axis: where the classes are.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> from plait import losses
        >>> round(float(losses.CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.4, 0.6]])), 4)
        0.0204
    """

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
