"""Models put together: side by side, and one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.core.layer import Layer
from plait.errors import ArgumentTypeError, ConfigError
from plait.graph import tree
from plait.layers.input import Input
from plait.models.copies import copy

if TYPE_CHECKING:
    from plait.models.model import Model


def merge(*models: Model, prefix: tuple[str, ...] | None = None, name: str | None = None) -> Model:
    """Return one model that runs several side by side: all their inputs, all their outputs.

    Args:
        *models: the models; they are nested in the result and keep their layers and weights.
        prefix: what paths of layers and names of inputs begin with, one a model (``"a/"``);
            default: the models' names.
        name: the name of the result.

    Raises:
        ConfigError: prefixes are too few or not unique.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> a = plait.Sequential([plait.Input((4,)), layers.Dense(2, name="d")])
        >>> b = plait.Sequential([plait.Input((3,)), layers.Dense(2, name="d")])
        >>> both = plait.merge(a, b, prefix=("a/", "b/"))
        >>> sorted(both.state())
        ['a/d/bias', 'a/d/kernel', 'b/d/bias', 'b/d/kernel']
    """
    from plait.models.model import Model

    _check_models(models)
    names = [p.strip("/") for p in prefix] if prefix else [model.name for model in models]
    if len(names) != len(models) or len(set(names)) != len(names):
        raise ConfigError(
            f"merge needs one prefix for each of {len(models)} models, all different; "
            f"received {names}.",
            fix="plait.merge(a, b, prefix=('a/', 'b/'))",
        )
    inputs: list[Any] = []
    outputs: list[Any] = []
    for model, label in zip(models, names, strict=True):
        given = [
            Input(batch_shape=t.shape, dtype=t.dtype, name=f"{label}_{t.name}")
            for t in model.inputs
        ]
        nested = copy(model, "shared")
        nested.name = label
        inputs += given
        outputs += tree.flatten(nested(tree.pack(model.input, given)))
    return Model(inputs, outputs, name=name)


def stack(*models: Model, name: str | None = None) -> Model:
    """Return one model that runs several one after another; they keep their layers and weights.

    Raises:
        ShapeError: an output does not fit the next model.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> trunk = plait.Sequential([plait.Input((4,)), layers.Dense(8)], name="trunk")
        >>> head = plait.Sequential([plait.Input((8,)), layers.Dense(2)], name="head")
        >>> plait.stack(trunk, head).output_shape
        (None, 2)
    """
    from plait.models.model import Model

    _check_models(models)
    inputs = [Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in models[0].inputs]
    given = value = tree.pack(models[0].input, inputs)
    for model in models:
        value = model(value)
    return Model(given, value, name=name)


def _check_models(models: tuple[Any, ...]) -> None:
    if len(models) < 2:
        raise ArgumentTypeError("this takes at least two models.")
    for model in models:
        if not getattr(model, "has_graph", False):
            shown = model.describe() if isinstance(model, Layer) else repr(model)
            raise ArgumentTypeError(f"this takes models with a graph; received {shown}.")
