"""`Loss`: compares targets with predictions, weights and reduces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from plait.core import naming
from plait.core.registry import Configurable, find_function
from plait.losses.masks import keeping_masks, mask_of
from plait.losses.numeric import computing_dtype
from plait.losses.reduce import check_reduction, reduce_weighted
from plait.losses.shapes import same_rank


class Loss(Configurable):
    """Compare targets with predictions.

    A subclass writes ``call(y_true, y_pred)``, which returns one loss per sample (or per position).
    Both may be nested lists or dicts of arrays.

    Args:
        name: default: the class in snake case, numbered.
        reduction: how losses become one number, see `reduce_weighted`.
        dtype: what targets and predictions are cast to; default: float32.

    Raises:
        ConfigError: there is no such reduction.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import losses
        >>> class Largest(losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return jnp.max(jnp.abs(y_true - y_pred), axis=-1)
        >>> float(Largest()([[0.0, 1.0]], [[0.5, 3.0]]))
        2.0
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or naming.auto_name(naming.snake_case(type(self).__name__))
        if "name" in self._captured:
            self._captured["name"] = self.name
        self.reduction = check_reduction(reduction)
        self.dtype = computing_dtype(dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the losses before weights and reduction."""
        raise NotImplementedError(f"{type(self).__name__} has no call(y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> jax.Array:
        """Return the reduced loss.

        Args:
            y_true: targets.
            y_pred: predictions; within a scope, their mask says which entries count.
            sample_weight: one weight per sample, or per value of the loss.

        Raises:
            ShapeError: targets, predictions or weights do not fit together.
        """
        with keeping_masks():
            mask = mask_of(y_pred)
            values = self.call(as_arrays(y_true, self.dtype), as_arrays(y_pred, self.dtype))
            own_mask = mask_of(values)
        if mask is None:
            mask = own_mask
        elif own_mask is not None:
            mask = jnp.logical_and(mask, own_mask)
        return reduce_weighted(jnp.asarray(values, self.dtype), sample_weight, mask, self.reduction)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class LossFunction(Loss):
    """Make a `Loss` of a function (Keras' `LossFunctionWrapper`).

    Args:
        fn: ``fn(y_true, y_pred, **kwargs)``, returning one loss per sample; or the name of one of
            plait's loss functions. A last dimension of 1 that only one of the two arrays has is
            added or removed before the call.
        reduction: see `Loss`.
        name: default: that of the function.
        dtype: see `Loss`.
        kwargs: handed to `fn`.

    Example:
        >>> from plait import losses
        >>> loss = losses.LossFunction(lambda y_true, y_pred: abs(y_true - y_pred), reduction="sum")
        >>> float(loss([1.0, 2.0], [1.5, 2.5]))
        1.0
    """

    def __init__(
        self,
        fn: Callable[..., Any] | str,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        self.fn = find_function(fn, "losses") if isinstance(fn, str) else fn
        super().__init__(name or getattr(self.fn, "__name__", None), reduction, dtype)
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return what the function returns."""
        true: Any = jax.tree.structure(y_true)
        if true == jax.tree.structure(y_pred):
            y_true, y_pred = (
                jax.tree.map(lambda t, p, side=side: same_rank(t, p)[side], y_true, y_pred)
                for side in (0, 1)
            )
        return self.fn(y_true, y_pred, **self._fn_kwargs)


def as_arrays(structure: Any, dtype: Any) -> Any:
    """Cast the arrays of a structure; nested lists of plain numbers are one array."""
    if all(isinstance(leaf, bool | int | float) for leaf in jax.tree.leaves(structure)):
        return jnp.asarray(structure, dtype)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), structure)
