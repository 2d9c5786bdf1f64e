"""Initializers: how the first value of a variable is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from plait.core import registry
from plait.initializers.base import Initializer
from plait.initializers.fixed import STFT, Constant, Identity, Ones, Zeros
from plait.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)

constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = IdentityInitializer = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = OrthogonalInitializer = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
stft = STFTInitializer = STFT
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

_names: dict[str, type[Initializer]] = {
    name: found
    for name, found in globals().items()
    if isinstance(found, type) and issubclass(found, Initializer) and found is not Initializer
} | {"normal": RandomNormal, "one": Ones, "uniform": RandomUniform, "zero": Zeros}

for _name, _class in _names.items():
    registry.register_class("initializers", _class, _name)


def get(identifier: Any) -> Callable[..., Any] | None:
    """Return the initializer that an argument means.

    Args:
        identifier: a name ("glorot_uniform", "GlorotUniform"), a configuration, a class, a
            function ``(shape, dtype) -> array``, or an array, which makes a `Constant`. None stays
            None.

    Raises:
        ConfigError: an unknown name.
        ArgumentTypeError: none of these.
    """
    if identifier is None:
        return None
    if isinstance(identifier, np.ndarray | np.generic | jax.Array):
        return Constant(identifier)
    return registry.lookup(identifier, _names, "initializers", "initializer")


def serialize(initializer: Any) -> Any:
    """Return the configuration of an initializer (see `plait.saving`)."""
    return registry.serialize(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the initializer that `config`, what `serialize` returned, describes.

    Args:
        config: the configuration, or a name.
        custom_objects: classes and functions of yours that it may name.
    """
    with registry.custom_object_scope(custom_objects):
        return get(config)


__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFT",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
