"""Densely connected layers: `Dense` and its general form, `EinsumDense`."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import jax.numpy as jnp

from plait import activations, constraints, initializers, kernels, regularizers
from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.layers.arguments import whole_number


class Dense(Layer):
    """Compute ``activation(inputs @ kernel + bias)`` on the last axis.

    Input ``(batch, ..., features)``, output ``(batch, ..., units)``; the axes in between are kept.

    Args:
        units: the size of the last axis of the output.
        activation: a name or function; default: none.
        use_bias: whether to add a bias.
        kernel_initializer: of the kernel, ``(features, units)``.
        bias_initializer: of the bias, ``(units,)``.
        kernel_regularizer: adds to the loss.
        bias_regularizer: adds to the loss.
        activity_regularizer: adds to the loss, as a function of the output.
        kernel_constraint: applied to the kernel after every update.
        bias_constraint: applied to the bias after every update.

    Raises:
        ConfigError: `units` is no positive whole number.
        ShapeError: an input of another width than the layer was built for.

    Source: Keras 3, ``keras.layers.Dense``.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Dense(2)(np.ones((4, 3), "float32")).shape
        (4, 2)
    """

    call_advice = (
        "Dense takes (batch, ..., features) and keeps the number of features it was built for; "
        "make another Dense for another number"
    )

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = whole_number(type(self).__name__, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.supports_masking = True
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Shape) -> None:
        """Make the kernel and the bias."""
        width = input_shape[-1]
        self.kernel = self.add_weight(
            (width, self.units),  # type: ignore[arg-type]
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: width})

    def call(self, inputs: Any) -> Any:
        """Return ``activation(inputs @ kernel + bias)``."""
        bias = None if self.bias is None else self.bias.value
        return self.activation(kernels.affine(inputs, self.kernel.value, bias))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(batch, ..., units)``."""
        return (*input_shape[:-1], self.units)


class EinsumDense(Layer):
    """Compute ``activation(einsum(equation, inputs, kernel) + bias)``.

    Args:
        equation: two operands, ``"abc,cd->abd"``; an ellipsis may stand first or last in the input
            and in the output: ``"...x,xy->...y"``.
        output_shape: the shape of the output without the batch and without what the ellipsis
            stands for; None for sizes that come from the input.
        activation: a name or function; default: none.
        bias_axes: the letters of the output that the bias spans, ``"d"``; default: no bias.
        kernel_initializer: of the kernel.
        bias_initializer: of the bias.
        kernel_regularizer: adds to the loss.
        bias_regularizer: adds to the loss.
        kernel_constraint: applied to the kernel after every update.
        bias_constraint: applied to the bias after every update.

    Raises:
        ConfigError: the equation is none, or names a letter that nothing gives a size.
        ShapeError: input and output disagree on a shared letter.

    Source: Keras 3, ``keras.layers.EinsumDense``.

    Example:
        >>> import numpy as np, plait
        >>> heads = plait.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de")
        >>> heads(np.ones((3, 5, 8), "float32")).shape
        (3, 5, 2, 4)
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | tuple[int | None, ...],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        self._parsed = _parse(equation, bias_axes)
        self.partial_output_shape = (
            (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        )
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Shape) -> None:
        """Make the kernel, and the bias if `bias_axes` are given."""
        parsed = self._parsed
        known = self._letter_sizes(input_shape)
        self.kernel = self.add_weight(
            tuple(known[letter] for letter in parsed.kernel),  # type: ignore[arg-type,misc]
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = None
        if self.bias_axes is not None:
            first = min(parsed.output.index(letter) for letter in self.bias_axes)
            shape = [
                known[letter] if letter in self.bias_axes else 1 for letter in parsed.output[first:]
            ]
            if parsed.ellipsis == "right":
                shape += [1] * (len(input_shape) - len(parsed.input))
            self.bias = self.add_weight(
                tuple(shape),  # type: ignore[arg-type]
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Any) -> Any:
        """Return ``activation(einsum(equation, inputs, kernel) + bias)``."""
        if self._parsed.is_affine and inputs.ndim > 1:
            return self.activation(self._affine(inputs))
        outputs = jnp.einsum(self.equation, inputs, self.kernel.value)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return self.activation(outputs)

    def _affine(self, inputs: Any) -> Any:
        """Compute what the equation says as one product of two axes."""
        kernel, contracted = self.kernel.value, self._parsed.contracted
        free, units = inputs.shape[:-contracted], kernel.shape[contracted:]
        bias = None
        if self.bias is not None:
            bias = jnp.broadcast_to(self.bias.value, units).reshape(-1)
        width = math.prod(kernel.shape[:contracted])
        outputs = kernels.affine(inputs.reshape(*free, width), kernel.reshape(width, -1), bias)
        return outputs.reshape(*free, *units)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the output's shape, the batch and what the ellipsis stands for included."""
        known = self._letter_sizes(input_shape)
        letters = tuple(known[letter] for letter in self._parsed.output)
        elided = len(input_shape) - len(self._parsed.input)
        if self._parsed.ellipsis == "left":
            return (*input_shape[:elided], *letters)
        return (*letters, *input_shape[len(input_shape) - elided :])

    def _letter_sizes(self, input_shape: Shape) -> dict[str, int | None]:
        """Return what size each letter of the equation has, None if not known."""
        parsed = self._parsed
        elided = len(input_shape) - len(parsed.input)
        if elided < 0 or (elided and not parsed.ellipsis):
            count = f"at least {len(parsed.input)}" if parsed.ellipsis else len(parsed.input)
            raise ShapeError(
                f"expects {count} axes for {self.equation!r}, received {input_shape}.",
                fix="write '...' where the equation stands for any number of axes",
            )
        left = elided if parsed.ellipsis == "left" else 0
        sizes = dict(zip(parsed.input, input_shape[left:], strict=False))
        declared = self.partial_output_shape
        if not left:
            declared = (input_shape[0], *declared)
        if len(declared) != len(parsed.output):
            raise ShapeError(
                f"has output_shape {self.partial_output_shape}, which does not fit the output "
                f"{parsed.output!r} of {self.equation!r}.",
                fix="give one size for each letter of the output but the batch",
            )
        for letter, size in zip(parsed.output, declared, strict=True):
            have = sizes.get(letter)
            if None not in (size, have) and size != have:
                raise ShapeError(
                    f"has size {size} for '{letter}' in output_shape, but the input {input_shape} "
                    f"has {have}.",
                    fix="write None in output_shape where the size comes from the input",
                )
            sizes[letter] = have if size is None else size
        return sizes


class _Equation(NamedTuple):
    input: str
    kernel: str
    output: str
    ellipsis: str | None
    contracted: int
    is_affine: bool


_FORM = re.compile(r"(\.{3})?([A-Za-z]+)(\.{3})?,([A-Za-z]+)->(\.{3})?([A-Za-z]+)(\.{3})?")


def _parse(equation: str, bias_axes: str | None) -> _Equation:
    match = _FORM.fullmatch(equation.replace(" ", ""))
    left, inputs, right, kernel, out_left, output, out_right = match.groups() if match else [""] * 7
    if match is None or (left and right) or (left, right) != (out_left, out_right):
        raise ConfigError(
            f"EinsumDense: {equation!r} is no equation of an input and a kernel.",
            fix="one of the forms 'ab,bc->ac', '...b,bc->...c', 'ab...,bc->ac...'",
        )
    for letter in output:
        if letter not in inputs + kernel:
            raise ConfigError(
                f"EinsumDense: '{letter}' in the output of {equation!r} is neither in the input "
                "nor in the kernel."
            )
    for letter in kernel:
        if letter not in inputs + output:
            raise ConfigError(
                f"EinsumDense: '{letter}' in the kernel of {equation!r} is neither in the input "
                "nor in the output, so it has no size."
            )
    for letter in bias_axes or "":
        if letter not in output:
            raise ConfigError(
                f"EinsumDense: bias_axes has '{letter}', which is not in the output of "
                f"{equation!r}.",
                fix=f"bias_axes='{output[-1]}'",
            )
    ellipsis = "left" if left else "right" if right else None
    contracted = sum(letter not in output for letter in kernel)
    new = kernel[contracted:]
    is_affine = (
        contracted > 0
        and not right
        and inputs.endswith(kernel[:contracted])
        and output == inputs[:-contracted] + new
        and all(letter in new for letter in bias_axes or "")
    )
    return _Equation(inputs, kernel, output, ellipsis, contracted, is_affine)
