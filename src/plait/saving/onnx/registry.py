"""Which layer has which converter. Knows nothing of ONNX, so registering one needs no extra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from plait.core.layer import Layer
from plait.errors import ExportError

Converter = Callable[..., Any]

_DESCRIPTORS = (property, classmethod, staticmethod)

CONVERTERS: dict[type[Layer], Converter] = {}
MASKS: dict[type[Layer], Converter] = {}

_DESCRIBING = frozenset(
    [
        "__init__",
        "build",
        "get_config",
        "from_config",
        "get_build_config",
        "build_from_config",
        "compute_output_shape",
        "compute_output_spec",
        "compute_mask",
        "regularization_losses",
    ]
)
"""Methods that make and describe a layer; all others may be part of what it computes."""


def onnx_converter(cls: type[Layer]) -> Callable[[Converter], Converter]:
    """Say what a layer of yours becomes in ONNX.

    The function takes the layer and the arguments of its `call`, and returns what `call` returns.
    Its tensors know arithmetic with tensors, arrays and variables; `plait.saving.onnx.arrays` has
    functions of them. A layer whose `call` is made of `plait.ops` and other layers needs none.

    Args:
        cls: the class; a subclass that changes what it computes needs a converter of its own.

    Example:
        >>> import jax.numpy as jnp, plait
        >>> class Cube(plait.layers.Layer):
        ...     def call(self, inputs):
        ...         return jnp.power(inputs, 3)
        >>> @plait.saving.onnx_converter(Cube)
        ... def convert_cube(layer, inputs):
        ...     return inputs * inputs * inputs
    """

    def register(function: Converter) -> Converter:
        CONVERTERS[cls] = function
        return function

    return register


def mask_of(*classes: type[Layer]) -> Callable[[Converter], Converter]:
    """Say what `compute_mask` of layers becomes: ``(layer, inputs, previous masks) -> masks``."""

    def register(function: Converter) -> Converter:
        MASKS.update(dict.fromkeys(classes, function))
        return function

    return register


def converter_of(layer: Layer) -> Converter | None:
    """Return the converter of the nearest base whose computation the layer's class leaves alone."""
    mro = type(layer).__mro__
    for place, cls in enumerate(mro):
        if cls in CONVERTERS:
            changed = any(
                (callable(value) or isinstance(value, _DESCRIPTORS)) and hasattr(cls, name)
                for derived in mro[:place]
                for name, value in vars(derived).items()
                if name not in _DESCRIBING
            )
            return None if changed else CONVERTERS[cls]
    return None


def mask_converter_of(layer: Layer) -> Converter | None:
    """Return what stands for the layer's `compute_mask`."""
    own = type(layer).compute_mask
    return next((MASKS[cls] for cls in MASKS if cls.compute_mask is own), None)


def refuse(why: str, fix: str | None = None) -> NoReturn:
    """Refuse the layer that is being converted, for a reason that follows its name."""
    raise ExportError(why, fix=fix)
