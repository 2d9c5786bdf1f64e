"""Optimizers and learning rate schedules: optax transformations with Keras' numerics."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from plait.core import registry
from plait.errors import ArgumentTypeError
from plait.optimizers import schedules
from plait.optimizers.adafactor import Adafactor
from plait.optimizers.adagrad import Adadelta, Adagrad, RMSprop
from plait.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam
from plait.optimizers.ftrl import Ftrl
from plait.optimizers.loss_scale import LossScaleOptimizer
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.raw import OptaxOptimizer
from plait.optimizers.sgd import SGD, Lion
from plait.optimizers.transformation import per_variable, scale_by_learning_rate

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Nadam",
    "OptaxOptimizer",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "per_variable",
    "scale_by_learning_rate",
    "schedules",
    "serialize",
]

_NAMED = (SGD, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, RMSprop)
_TABLE = {name: cls for cls in _NAMED for name in (cls.__name__, cls.__name__.lower())}


def get(identifier: Any) -> Optimizer | None:
    """Return the optimizer that an argument ``optimizer=`` means.

    Args:
        identifier: a name (``"adam"``, ``"AdamW"``), a configuration, an `Optimizer` or its class,
            an optax transformation, or None.

    Raises:
        ConfigError: an unknown name.
        ArgumentTypeError: something else.

    Example:
        >>> from plait import optimizers
        >>> optimizers.get("rmsprop").rho
        0.9
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    optax = sys.modules.get("optax")  # Who has one of its transformations has imported it.
    if optax is not None and isinstance(identifier, optax.GradientTransformation):
        return OptaxOptimizer(identifier)
    found = registry.lookup(identifier, _TABLE, "optimizers", "optimizer")
    if isinstance(found, Optimizer):
        return found
    raise ArgumentTypeError(
        f"{identifier!r} is no optimizer.",
        fix="a name such as 'adam', an Optimizer, or an optax transformation",
    )


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer as plain data; its state is not part of it."""
    return registry.serialize(optimizer)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> Optimizer:
    """Make an optimizer from what `serialize`, or Keras 3, returned."""
    with registry.custom_object_scope(custom_objects):
        return registry.deserialize(config, "optimizers")
