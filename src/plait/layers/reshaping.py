"""Layers that give the same numbers another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.layers.arguments import data_format as checked_format
from plait.layers.arguments import whole_number


class Flatten(Layer):
    """Flatten each sample into one axis; ``(batch,)`` becomes ``(batch, 1)``.

    Args:
        data_format: "channels_last" (default) or "channels_first"; with the latter the channels
            are moved last first, so that both give the same order.

    Example:
        >>> import plait
        >>> plait.layers.Flatten()(plait.Input((28, 28))).shape
        (None, 784)
    """

    keeps_integers = True
    call_advice = "Flatten needs a batch axis: x[None]"

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = checked_format("Flatten", data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        """Return the inputs as ``(batch, features)``."""
        if self.data_format == "channels_first" and inputs.ndim > 1:
            inputs = jnp.moveaxis(inputs, 1, -1)
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, features)``."""
        return (input_shape[0], _count(input_shape[1:]))


class Reshape(Layer):
    """Give each sample another shape.

    Args:
        target_shape: the shape without the batch; one size may be -1: whatever is left.

    Raises:
        ConfigError: a size below -1, or more than one -1.
        ShapeError: the numbers of elements differ.

    Example:
        >>> import plait
        >>> plait.layers.Reshape((-1, 2))(plait.Input((12,))).shape
        (None, 6, 2)
    """

    input_spec = InputSpec()
    keeps_integers = True

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        given = (target_shape,) if isinstance(target_shape, int) else target_shape
        self.target_shape = tuple(
            -1 if size == -1 else whole_number("Reshape", "a size of target_shape", size, 0)
            for size in given
        )
        if self.target_shape.count(-1) > 1:
            raise ConfigError(
                f"Reshape: only one size of target_shape may be -1, received {self.target_shape}.",
                fix="write the other sizes out",
            )

    def call(self, inputs: Any) -> Any:
        """Return the inputs in the target shape."""
        known = tuple(size if isinstance(size, int) else None for size in inputs.shape)
        target = self.compute_output_shape(known)[1:]
        return inputs.reshape(inputs.shape[0], *(-1 if size is None else size for size in target))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the batch and the target shape, with -1 worked out if it can be."""
        batch, target = input_shape[0], self.target_shape
        count = _count(input_shape[1:])
        if count is None:
            return (batch, *(None if size == -1 else size for size in target))
        rest = math.prod(size for size in target if size != -1)
        if -1 not in target:
            fits = count == rest
        else:
            fits = rest > 0 and count % rest == 0
        if not fits:
            wanted = f"{rest}" if -1 not in target else f"a multiple of {rest}"
            raise ShapeError(
                f"cannot reshape {input_shape} to {(batch, *target)}: each sample has {count} "
                f"elements, the target takes {wanted}.",
                fix=f"choose a target_shape of {count} elements, for instance Reshape(({count},))",
            )
        return (batch, *(count // rest if size == -1 else size for size in target))


class Permute(Layer):
    """Reorder the axes of each sample.

    Args:
        dims: for each axis of the output the axis of the input, counted from 1 (the batch is 0
            and stays): ``(2, 1)`` swaps the two axes after the batch.

    Raises:
        ConfigError: `dims` is no reordering of 1, 2, ...

    Example:
        >>> import plait
        >>> plait.layers.Permute((2, 1))(plait.Input((10, 64))).shape
        (None, 64, 10)
    """

    keeps_integers = True
    call_advice = "give Permute one number for each axis of a sample, from 1"

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ConfigError(
                f"Permute: dims must hold each of 1 to {len(self.dims)} once, received "
                f"{self.dims}.",
                fix="Permute((2, 1)) swaps the two axes after the batch",
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        """Return the inputs with their axes reordered."""
        return jnp.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the reordered shape."""
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))


class RepeatVector(Layer):
    """Repeat each vector `n` times: ``(batch, features)`` becomes ``(batch, n, features)``.

    Args:
        n: how often.

    Raises:
        ConfigError: `n` is no positive whole number.

    Example:
        >>> import plait
        >>> plait.layers.RepeatVector(3)(plait.Input((32,))).shape
        (None, 3, 32)
    """

    keeps_integers = True
    call_advice = "RepeatVector takes (batch, features); flatten the input first"

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = whole_number("RepeatVector", "n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        """Return each vector `n` times."""
        return jnp.broadcast_to(inputs[:, None], (inputs.shape[0], self.n, inputs.shape[1]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, n, features)``."""
        return (input_shape[0], self.n, input_shape[1])


class Identity(Layer):
    """Return the inputs unchanged; a placeholder.

    Example:
        >>> import plait
        >>> plait.layers.Identity()(plait.Input((3,))).shape
        (None, 3)
    """

    keeps_integers = True
    supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Return `inputs`."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return `input_shape`."""
        return input_shape


def _count(shape: Shape) -> int | None:
    return None if None in shape else math.prod(shape)  # type: ignore[arg-type]
