"""Layers that merge several tensors into one, element by element, and `Dot`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import is_shape, shapes_of
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.layers.merge_errors import cannot_merge, check_list


class Merge(Layer):
    """Base of the layers that merge a list of tensors.

    Shapes broadcast, batches must agree; a tensor of lower rank gets axes of size 1 after its
    batch. The output is masked where every input is; it has no mask if an input has none.
    """

    keeps_integers = True
    merges = True
    supports_masking = True
    verb: ClassVar[str]
    most: ClassVar[int | None] = None

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the merged tensors."""
        self.compute_output_shape(shapes_of(inputs))
        rank = max(x.ndim for x in inputs)
        aligned = [
            x if x.ndim == rank else jnp.expand_dims(x, tuple(range(1, 1 + rank - x.ndim)))
            for x in inputs
        ]
        return self._merge(aligned, mask)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape that the inputs broadcast to."""
        check_list(type(self).__name__, self.verb, input_shape, self.most)
        batch = _common_batch(self.verb, input_shape)
        merged: list[int | None] = [1] * (max(len(shape) for shape in input_shape) - 1)
        for index, shape in enumerate(input_shape):
            for axis in range(-1, -len(shape), -1):
                size, have = shape[axis], merged[axis]
                if size == 1 or size == have:
                    continue
                if have == 1 or have is None:
                    merged[axis] = size
                elif size is not None:
                    raise cannot_merge(self.verb, input_shape, index, axis)
        return (batch, *merged)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return where any input is data, if every input has a mask."""
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return functools.reduce(jnp.logical_or, previous_mask)

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        raise NotImplementedError


def _sum(inputs: list[Any]) -> Any:
    same = all((x.shape, x.dtype) == (inputs[0].shape, inputs[0].dtype) for x in inputs)
    if len(inputs) <= _MANY or not same:
        return functools.reduce(jnp.add, inputs)
    # XLA fuses additions into one kernel, which compiles in the square of their number. It ends
    # kernels at products.
    parts = [jnp.stack(inputs[first : first + _MANY]) for first in range(0, len(inputs), _MANY)]
    return _sum(
        [
            jnp.tensordot(jnp.ones(len(part), part.dtype), part, 1, precision="highest")
            for part in parts
        ]
    )


_MANY = 64


class Add(Merge):
    """Add tensors: a shortcut, for instance.

    Takes a list of tensors whose shapes broadcast.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentTypeError: not a list of at least two tensors.

    Example:
        >>> import plait
        >>> x = plait.Input((8,))
        >>> plait.layers.Add()([x, plait.layers.Dense(8)(x)]).shape
        (None, 8)
    """

    verb = "add"

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        return _sum(inputs)


class Subtract(Merge):
    """Subtract the second of two tensors from the first.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentTypeError: not a list of two tensors.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Subtract()([np.array([3.0]), np.array([1.0])]).tolist()
        [2.0]
    """

    verb = "subtract"
    most = 2

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        return inputs[0] - inputs[1]


class Multiply(Merge):
    """Multiply tensors element by element; masked entries count as 1.

    Where every input is masked the output is 0.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentTypeError: not a list of at least two tensors.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Multiply()([np.array([3.0]), np.array([2.0])]).tolist()
        [6.0]
    """

    verb = "multiply"

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        masks = _fitted(mask, inputs)
        ones = (
            x if m is None else jnp.where(m, x, jnp.ones((), x.dtype))
            for x, m in zip(inputs, masks, strict=True)
        )
        product = functools.reduce(jnp.multiply, ones)
        if any(m is None for m in masks):
            return product
        return jnp.where(functools.reduce(jnp.logical_or, masks), product, 0)


class Average(Merge):
    """Average tensors element by element.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentTypeError: not a list of at least two tensors.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Average()([np.array([3.0]), np.array([1.0])]).tolist()
        [2.0]
    """

    keeps_integers = False
    verb = "average"

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        total = _sum(inputs)
        return (total / len(inputs)).astype(self.compute_dtype)


class Maximum(Merge):
    """Take the maximum of tensors element by element; masked entries do not count.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentTypeError: not a list of at least two tensors.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Maximum()([np.array([3.0]), np.array([1.0])]).tolist()
        [3.0]
    """

    verb = "take the maximum of"

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        return _extreme(jnp.maximum, inputs, _fitted(mask, inputs))


class Minimum(Merge):
    """Take the minimum of tensors element by element; masked entries do not count.

    Raises:
        ShapeError: the shapes do not broadcast.
        ArgumentTypeError: not a list of at least two tensors.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Minimum()([np.array([3.0]), np.array([1.0])]).tolist()
        [1.0]
    """

    verb = "take the minimum of"

    def _merge(self, inputs: list[Any], mask: Any) -> Any:
        return _extreme(jnp.minimum, inputs, _fitted(mask, inputs))


class Dot(Merge):
    """Multiply two tensors and add up along one axis of each, sample by sample.

    The output has the batch, the other axes of the first, then those of the second; two vectors a
    sample give ``(batch, 1)``.

    Args:
        axes: the axis to add up along, one for both or ``(first, second)``; not 0, the batch.
        normalize: whether to scale both to length 1 along it first: the cosine similarity.

    Raises:
        ConfigError: `axes` is neither.
        ShapeError: the two axes differ in size.

    Source: Keras 3, ``keras.layers.Dot``.

    Example:
        >>> import plait
        >>> a, b = plait.Input((5, 4)), plait.Input((4, 7))
        >>> plait.layers.Dot(axes=(2, 1))([a, b]).shape
        (None, 5, 7)
    """

    keeps_integers = False
    verb = "multiply"
    most = 2

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes = axes if isinstance(axes, int) else _two_axes(axes)
        self.normalize = normalize

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the products, added up along the axes."""
        self.compute_output_shape(shapes_of(inputs))
        first, second = (jnp.asarray(x, self.compute_dtype) for x in inputs)
        axes = self._positive_axes(first.ndim, second.ndim)
        if self.normalize:
            first, second = _unit(first, axes[0]), _unit(second, axes[1])
        contracted = ((axes[0],), (axes[1],))
        outputs = jax.lax.dot_general(first, second, (contracted, ((0,), (0,))))
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the batch and the axes that are left."""
        check_list("Dot", self.verb, input_shape, self.most)
        first, second = input_shape
        a, b = self._positive_axes(len(first), len(second))
        if None not in (first[a], second[b]) and first[a] != second[b]:
            raise ShapeError(
                f"cannot multiply {first} and {second} along axes {a} and {b}: their sizes are "
                f"{first[a]} and {second[b]}.",
                fix="name two axes of the same size: Dot(axes=(of the first, of the second))",
            )
        rest = [size for axis, size in enumerate(first) if axis not in (0, a)]
        rest += [size for axis, size in enumerate(second) if axis not in (0, b)]
        return (_common_batch(self.verb, input_shape), *(rest or [1]))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return None: the product has no steps of its own."""
        return None

    def _positive_axes(self, *ranks: int) -> list[int]:
        both = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        axes = [axis + rank if axis < 0 else axis for axis, rank in zip(both, ranks, strict=True)]
        if not all(0 < axis < rank for axis, rank in zip(axes, ranks, strict=True)):
            raise ShapeError(
                f"cannot add up along axes {both} of inputs with {ranks[0]} and {ranks[1]} axes.",
                fix="name an axis of each after the batch, which is axis 0",
            )
        return axes


def _two_axes(axes: Any) -> tuple[int, int]:
    if not isinstance(axes, list | tuple) or len(axes) != 2 or not is_shape(axes) or None in axes:
        error = ConfigError if isinstance(axes, list | tuple) else ArgumentTypeError
        raise error(
            f"Dot: axes must be a whole number or two of them, received {axes!r}.",
            fix="Dot(axes=1) or Dot(axes=(1, 2))",
        )
    return (axes[0], axes[1])


def _unit(x: Any, axis: int) -> Any:
    return x * jnp.minimum(jax.lax.rsqrt(jnp.sum(x * x, axis, keepdims=True)), 1e7)


def _common_batch(verb: str, shapes: Sequence[Shape]) -> int | None:
    batch = None
    for index, shape in enumerate(shapes):
        if shape and shape[0] is not None:
            if batch is not None and shape[0] != batch:
                raise cannot_merge(verb, shapes, index, 0)
            batch = shape[0]
    return batch


def _fitted(mask: Any, inputs: list[Any]) -> list[Any]:
    """Return each mask with axes added at the end, so that it broadcasts to its input."""
    masks = mask if mask is not None else [None] * len(inputs)
    return [
        m if m is None else jnp.expand_dims(m, tuple(range(m.ndim, x.ndim)))
        for m, x in zip(masks, inputs, strict=True)
    ]


def _extreme(choose: Any, inputs: list[Any], masks: list[Any]) -> Any:
    """Fold as Keras does: a masked entry gives way to the other; the masks are united."""
    output, known = inputs[0], masks[0]
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        other = x if mask is None else jnp.where(mask, x, output)
        if known is not None:
            output = jnp.where(known, output, other)
        known = known | mask if known is not None and mask is not None else None
        output = choose(output, other)
    return output


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return ``Add(**kwargs)(inputs)``."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return ``Subtract(**kwargs)(inputs)``."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return ``Multiply(**kwargs)(inputs)``."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return ``Average(**kwargs)(inputs)``."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return ``Maximum(**kwargs)(inputs)``."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return ``Minimum(**kwargs)(inputs)``."""
    return Minimum(**kwargs)(inputs)


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **kwargs: Any) -> Any:
    """Return ``Dot(axes, **kwargs)(inputs)``."""
    return Dot(axes=axes, **kwargs)(inputs)
