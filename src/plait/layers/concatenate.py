"""Concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import shapes_of
from plait.errors import ShapeError
from plait.graph.tensor import Shape
from plait.layers.merge_errors import cannot_concatenate, check_list


class Concatenate(Layer):
    """Join tensors along an axis; every other axis must agree.

    Args:
        axis: along what to join them.

    Raises:
        ShapeError: the inputs differ on another axis, or in rank.
        ArgumentTypeError: not a list of at least two tensors.

    Example:
        >>> import plait
        >>> plait.layers.Concatenate()([plait.Input((5, 3)), plait.Input((5, 4))]).shape
        (None, 5, 7)
    """

    keeps_integers = True
    merges = True
    supports_masking = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        """Return the joined tensors."""
        self.compute_output_shape(shapes_of(inputs))
        return jnp.concatenate(inputs, self.axis)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the joined tensors."""
        check_list("Concatenate", "concatenate", input_shape)
        first = input_shape[0]
        rank = len(first)
        if not -rank <= self.axis < rank:
            raise ShapeError(
                f"cannot concatenate along axis {self.axis}: its inputs have {rank} axes.",
                fix="layers.Concatenate(axis=-1)",
            )
        axis = self.axis % rank
        merged = list(first)
        for index, shape in enumerate(input_shape[1:], start=1):
            if len(shape) != rank:
                raise cannot_concatenate(input_shape, index, axis)
            for other, size in enumerate(shape):
                have = merged[other]
                if other == axis:
                    merged[axis] = None if None in (have, size) else have + size
                elif have is None:
                    merged[other] = size
                elif size not in (None, have):
                    raise cannot_concatenate(input_shape, index, axis)
        return tuple(merged)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the masks joined as the inputs are; an input without one is all data."""
        if previous_mask is None or all(mask is None for mask in previous_mask):
            return None
        masks = [
            jnp.ones(x.shape, bool)
            if mask is None
            else jnp.broadcast_to(jnp.expand_dims(mask, tuple(range(mask.ndim, x.ndim))), x.shape)
            for x, mask in zip(inputs, previous_mask, strict=True)
        ]
        return jnp.any(jnp.concatenate(masks, self.axis), axis=-1)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """Return ``Concatenate(axis, **kwargs)(inputs)``."""
    return Concatenate(axis=axis, **kwargs)(inputs)
