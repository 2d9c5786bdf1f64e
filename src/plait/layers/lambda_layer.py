"""A function as a layer."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from plait.core.infer import abstract_call
from plait.core.layer import Layer
from plait.core.spec import TensorSpec, is_shape, shapes_of
from plait.errors import ArgumentTypeError
from plait.graph import tree


class Lambda(Layer):
    """Make a layer of a function of arrays, for instance from `jax.numpy` or `plait.ops`.

    A model with a function written with ``def`` and registered
    (``@plait.saving.register_serializable()``) can be saved; one with an anonymous function
    cannot. For anything with weights write a `Layer`.

    Args:
        function: takes the input (a list where the layer is called on a list), and `mask` and
            `training` if it has such parameters.
        output_shape: the shape of the output without the batch, or a function of the input's
            shape; default: inferred.
        mask: the mask of the output, or a function ``(inputs, mask) -> mask``; default: none.
        arguments: further keyword arguments of the function.

    Raises:
        ArgumentTypeError: `function` cannot be called.

    Source: Keras 3, ``keras.layers.Lambda``.

    Example:
        >>> import plait
        >>> double = plait.layers.Lambda(lambda x, factor: x * factor, arguments={"factor": 2})
        >>> double(plait.Input((3,))).shape
        (None, 3)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise ArgumentTypeError(
                f"Lambda: function must be a function, received {type(function).__name__}.",
                fix="layers.Lambda(lambda x: x * 2)",
            )
        self.function = function
        self.output_shape = output_shape
        self.mask = mask
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None
        self._passed = {"mask", "training"} & _parameters(function)

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        """Return ``function(inputs, **arguments)``."""
        context = {"mask": mask, "training": training}
        return self.function(
            inputs, **self.arguments, **{name: context[name] for name in self._passed}
        )

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return shapes and dtypes of the output: traced, with `output_shape` put over them."""
        specs = abstract_call(self, args, kwargs)
        if self.output_shape is None:
            return specs
        input_shape = shapes_of(args[0])
        if callable(self.output_shape):
            shapes = self.output_shape(input_shape)
        else:
            batch = tree.flatten(shapes_of(tree.flatten(args[0])[0]))[0]
            shapes = _with_batch(batch, self.output_shape)
        return _put_over(specs, shapes)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return what the argument `mask` says."""
        if callable(self.mask):
            return self.mask(inputs, previous_mask)
        if self.mask is None and previous_mask is not None and "mask" not in self._passed:
            warnings.warn(
                f"{self.describe()} takes a masked input but does not pass masks on; the layers "
                "after it see the padding as data. Pass mask=lambda inputs, mask: mask to keep it.",
                stacklevel=2,
            )
        return self.mask


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:
        return set()


def _with_batch(batch: int | None, shapes: Any) -> Any:
    if is_shape(shapes):
        return (batch, *shapes)
    return [_with_batch(batch, shape) for shape in shapes]


def _put_over(specs: Any, shapes: Any) -> Any:
    if isinstance(specs, TensorSpec):
        return TensorSpec(tuple(shapes), specs.dtype)
    if isinstance(specs, Mapping):
        return {key: _put_over(spec, shapes[key]) for key, spec in specs.items()}
    return type(specs)(_put_over(a, b) for a, b in zip(specs, shapes, strict=True))
