"""The base of normalization layers: which axes, and what is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait import constraints, initializers, regularizers
from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.core.variable import Variable
from plait.errors import ArgumentTypeError, ShapeError
from plait.graph.tensor import Shape
from plait.kernels import spread


class Normalizer(Layer):
    """What normalization layers share: they normalize over `axis` and keep shapes and masks."""

    input_spec = InputSpec()
    supports_masking = True
    call_advice: ClassVar[str | None] = "call it on inputs of the shape it was built for"

    axis: int | list[int]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        axes_within(self.axis, len(input_shape))
        return input_shape


class AffineNormalizer(Normalizer):
    """A normalization layer that learns a scale `gamma` and an offset `beta`."""

    gamma: Variable | None = None
    beta: Variable | None = None

    def _set_affine(
        self,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
    ) -> None:
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def _build_affine(self, shape: Any) -> None:
        if self.scale:
            self.gamma = self.add_weight(
                shape=shape,
                initializer=self.gamma_initializer,
                autocast=False,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                shape=shape,
                initializer=self.beta_initializer,
                autocast=False,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )

    def _affine(self, x: jax.Array, axes: Sequence[int]) -> jax.Array:
        if self.gamma is not None:
            x = x * spread(along(self.gamma.value, x, axes), x)
        if self.beta is not None:
            x = x + spread(along(self.beta.value, x, axes), x)
        return x


def axis_argument(cls: str, axis: Any) -> int | list[int]:
    """Return ``axis=`` as a number or a list of numbers.

    Raises:
        ArgumentTypeError: it is neither.
    """
    axes = axis if isinstance(axis, list | tuple) else [axis]
    if not axes or any(not isinstance(item, int) or isinstance(item, bool) for item in axes):
        raise ArgumentTypeError(
            f"{cls}: axis is a whole number or a list of them, received {axis!r}.", fix="axis=-1"
        )
    return list(axis) if isinstance(axis, list | tuple) else axis


def single_axis(cls: str, axis: Any) -> int:
    """Return ``axis=`` as one number; Keras also writes it as a list of one.

    Raises:
        ArgumentTypeError: it is not.
    """
    checked = axis_argument(cls, axis)
    if isinstance(checked, int):
        return checked
    if len(checked) != 1:
        raise ArgumentTypeError(
            f"{cls}: axis is one whole number, received {axis!r}.", fix="axis=-1"
        )
    return checked[0]


def axes_within(axis: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes as sorted numbers from 0.

    Raises:
        ShapeError: one of them lies outside the rank.
    """
    axes = [axis] if isinstance(axis, int) else axis
    for item in axes:
        if not -rank <= item < rank:
            raise ShapeError(
                f"normalizes axis {item}, but its input has {rank} axes.",
                fix=f"an axis from {-rank} to {rank - 1}",
            )
    return tuple(sorted({item % rank for item in axes}))


def along(values: Any, x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """Return values per entry of `axes` in a shape that broadcasts against `x`, in its dtype."""
    shape = [x.shape[axis] if axis in axes else 1 for axis in range(x.ndim)]
    return jnp.asarray(values, x.dtype).reshape(shape)


def at_least_float32(x: jax.Array) -> jax.Array:
    """Return `x` in float32 if its dtype is narrower: sums of squares overflow float16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
