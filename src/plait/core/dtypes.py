"""Dtype policies: in which dtype a layer computes and in which it keeps its variables."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from plait.core import registry
from plait.errors import ConfigError


class DTypePolicy:
    """What a layer computes in (`compute_dtype`) and stores in (`variable_dtype`).

    Args:
        name: a dtype (``"float32"``), or ``"mixed_bfloat16"`` / ``"mixed_float16"``: compute in
            the half-width type, keep variables in float32.
    """

    def __init__(self, name: str = "float32") -> None:
        if name.startswith("mixed_"):
            self.compute_dtype, self.variable_dtype = name.removeprefix("mixed_"), "float32"
            known = self.compute_dtype in ("float16", "bfloat16")
        else:
            self.compute_dtype = self.variable_dtype = name
            known = _is_dtype(name)
        if not known:
            raise ConfigError(
                f"{name!r} is no dtype policy.",
                fix="one of float32, bfloat16, float16, mixed_bfloat16, mixed_float16",
            )
        self.name = name

    def get_config(self) -> dict[str, Any]:
        """Return ``{"name": ...}``."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Make a policy from its configuration."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"DTypePolicy({self.name!r})"


def dtype_policy() -> DTypePolicy:
    """Return the policy that new layers take: what was set, else the default float."""
    return _global or DTypePolicy(_floatx)


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Set the policy that new layers take, for instance "mixed_bfloat16".

    Inputs stay in the default float (`floatx`), as in Keras: each layer casts what it gets to its
    own compute dtype.
    """
    global _global
    _global = get(policy)


def get(identifier: Any) -> DTypePolicy:
    """Return the policy that an argument ``dtype=`` means; None is the global policy."""
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    if isinstance(identifier, dict):
        return DTypePolicy(**identifier["config"])
    return DTypePolicy(standardize(identifier))


def standardize(dtype: Any) -> str:
    """Return the name of a dtype; None is the default float."""
    if dtype is None:
        return floatx()
    if dtype is float or (isinstance(dtype, str) and dtype == "float"):
        return floatx()
    if dtype is int or (isinstance(dtype, str) and dtype == "int"):
        return "int32"
    try:
        return jnp.dtype(dtype).name
    except TypeError as error:
        raise ConfigError(f"{dtype!r} is no dtype.", fix="a name such as 'float32'") from error


def is_float(dtype: Any) -> bool:
    """Return whether a dtype is a floating one (bfloat16 included)."""
    return bool(jnp.issubdtype(dtype, np.floating))


def floatx() -> str:
    """Return the default float dtype, of inputs and of what `plait.ops` creates."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the default float dtype: "float16", "bfloat16" or "float32".

    Raises:
        ConfigError: it is another, or float64, which needs JAX's 64-bit mode.
    """
    global _floatx
    if value not in ("float16", "bfloat16", "float32"):
        raise ConfigError(
            f"{value!r} is no default float of plait.", fix="'float32', 'bfloat16' or 'float16'"
        )
    _floatx = value


def _is_dtype(name: str) -> bool:
    try:
        jnp.dtype(name)
    except TypeError:
        return False
    return True


registry.register_class("core", DTypePolicy, "DTypePolicy")

_floatx = "float32"
_global: DTypePolicy | None = None
