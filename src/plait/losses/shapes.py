"""Which shapes of targets, predictions and weights belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from plait.errors import ShapeError
from plait.losses.numeric import floating


def same_rank(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Make two ranks equal where one array only has an extra last dimension of 1 (Keras' rule).

    ``(n, 1)`` and ``(n,)`` become ``(n, 1)`` twice; ``(n, t, 1)`` and ``(n, t)`` become
    ``(n, t)`` twice. Everything else is returned as it is.
    """
    if y.ndim == x.ndim + 1:
        y, x = same_rank(y, x)
    elif x.ndim == y.ndim + 1 and x.shape[-1] == 1:
        if y.ndim == 1:
            y = y[:, None]
        else:
            x = jnp.squeeze(x, -1)
    return x, y


def paired(function: str, y_true: Any, y_pred: Any) -> tuple[jax.Array, jax.Array]:
    """Return targets and predictions as floats of one shape.

    Stricter than Keras on purpose: it broadcasts ``(n, 5)`` against ``(n, 1)``, which trains on
    something nobody meant.

    Args:
        function: the name for the message.
        y_true: targets.
        y_pred: predictions; targets take their dtype.

    Raises:
        ShapeError: the shapes differ by more than a last dimension of 1.
    """
    y_pred = floating(y_pred)
    y_true, y_pred = same_rank(jnp.asarray(y_true, y_pred.dtype), y_pred)
    check_paired(function, y_true.shape, y_pred.shape)
    return y_true, y_pred


def check_paired(function: str, true: tuple[int, ...], pred: tuple[int, ...]) -> None:
    """Raise a ShapeError unless two shapes are the same and have a batch dimension."""
    if not pred or not true:
        raise ShapeError(
            f"{function} received a single number, not a batch.",
            details=_rows(true, pred),
            fix="give y_true and y_pred a first dimension, the samples",
        )
    if true == pred:
        return
    if true in (pred[:-1], (*pred[:-1], 1)) and pred[-1] > 1:
        fix = (
            "if y_true holds class numbers, use the loss 'sparse_categorical_crossentropy' "
            "(metric 'sparse_categorical_accuracy'); else give the last layer one unit"
        )
    else:
        fix = f"make the last layer give {true} values, or reshape y_true to {pred}"
    raise ShapeError(
        f"{function} compares y_true and y_pred value by value, but y_true is {true} and y_pred "
        f"is {pred}; they are not broadcast.",
        details=_rows(true, pred),
        fix=fix,
    )


def paired_classes(
    function: str, y_true: Any, y_pred: Any, axis: int = -1
) -> tuple[jax.Array, jax.Array]:
    """Return class numbers and one score per class, the class numbers without the class axis.

    Args:
        function: the name for the message.
        y_true: class numbers of any dtype, shaped like `y_pred` without `axis`, or with 1 there.
        y_pred: scores with the classes along `axis`.
        axis: where the classes are.

    Raises:
        ShapeError: any other shapes.
    """
    y_true, y_pred = jnp.asarray(y_true), floating(y_pred)
    given = y_true.shape
    if y_pred.ndim and y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = jnp.squeeze(y_true, axis)
    position = axis % y_pred.ndim if y_pred.ndim else 0
    expected = y_pred.shape[:position] + y_pred.shape[position + 1 :]
    if not y_pred.ndim or y_true.shape != expected:
        one_hot = given == y_pred.shape
        raise ShapeError(
            f"{function} takes class numbers {expected} for scores {y_pred.shape}, "
            f"but y_true is {given}.",
            details=_rows(given, y_pred.shape),
            fix=f"one-hot targets go with {function.removeprefix('sparse_')!r}"
            if one_hot
            else "give one class number for each row of scores",
        )
    return y_true, y_pred


def check_rows(
    metric: str, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> int:
    """Return the number of columns of targets and predictions.

    Raises:
        ShapeError: they are not both ``(n, columns)``, or the number is not known.
    """
    true, pred = tuple(y_true_shape), tuple(y_pred_shape)
    if len(true) != 2 or len(pred) != 2 or pred[-1] is None:
        raise ShapeError(
            f"{metric} takes targets and predictions of two dimensions, (samples, values), but "
            f"y_true is {true} and y_pred is {pred}.",
            details=_rows(true, pred),
            fix="reshape both to (samples, values); class numbers become one-hot rows",
        )
    return pred[-1]


def aligned(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Make two arrays broadcast from the first dimension on: samples meet samples.

    After `same_rank`, the array of lower rank gets dimensions of 1 at its end, so ``(n,)`` meets
    ``(n, t)`` as ``(n, 1)``.
    """
    x, y = same_rank(x, y)
    rank = max(x.ndim, y.ndim)
    return (
        x.reshape(x.shape + (1,) * (rank - x.ndim)),
        y.reshape(y.shape + (1,) * (rank - y.ndim)),
    )


def broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Return whether an array of `shape` can be broadcast to `target`."""
    return len(shape) <= len(target) and all(
        size in (1, wanted)
        for size, wanted in zip(shape, target[len(target) - len(shape) :], strict=True)
    )


def _rows(true: object, pred: object) -> list[tuple[str, object]]:
    return [("y_true", true), ("y_pred", pred)]


def output_kind(
    y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Literal["binary", "sparse", "categorical"]:
    """Return which kind of classification two shapes mean, by Keras' rule.

    One unit is ``"binary"``; targets of lower rank, or with a last dimension of 1, are
    ``"sparse"``; else ``"categorical"``.
    """
    true, pred = tuple(y_true_shape), tuple(y_pred_shape)
    if pred and pred[-1] == 1:
        return "binary"
    if len(true) < len(pred) or (true and true[-1] == 1):
        return "sparse"
    return "categorical"
