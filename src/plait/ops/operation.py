"""The one wrapper that lets a JAX function take symbolic tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from plait.core import naming
from plait.core.layer import Layer
from plait.core.variable import Variable
from plait.errors import ConfigError, did_you_mean
from plait.graph import tree
from plait.graph.tensor import any_symbolic, install_operation

FUNCTIONS: dict[str, Callable[..., Any]] = {}


class Op(Layer):
    """A function of `plait.ops` as a layer: what a graph holds for ``x + y`` or ``ops.mean(x)``.

    Args:
        function: its name in `plait.ops`.
        name: default: the function's name, numbered.
    """

    warns_of_lost_masks = False

    def __init__(self, function: str, name: str | None = None, **kwargs: Any) -> None:
        if function not in FUNCTIONS:
            raise ConfigError(
                f"plait.ops has no function {function!r}.{did_you_mean(function, FUNCTIONS)}"
            )
        named = name is not None
        super().__init__(name=name or naming.auto_name(function), autocast=False, **kwargs)
        self._named = named
        self.function = function

    @property
    def display_name(self) -> str:
        """How errors and pictures call its kind: ``ops.add``."""
        return f"ops.{self.function}"

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function."""
        return FUNCTIONS[self.function](*args, **kwargs)


def operation(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` made aware of symbolic tensors and variables, and add it to the table.

    On symbolic tensors it adds a node to the graph; on arrays it is the function itself.
    """
    FUNCTIONS[name] = function

    @functools.wraps(function)
    def public(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic(args, kwargs):
            return Op(name)(*args, **kwargs)
        if _has_variable(args) or (kwargs and _has_variable(tuple(kwargs.values()))):
            args, kwargs = tree.map_structure(_value, (args, kwargs))
        return function(*args, **kwargs)

    public.__name__ = public.__qualname__ = name
    public.__module__ = "plait.ops"
    try:
        public.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        pass
    install_operation(name, public)
    return public


def _has_variable(args: tuple[Any, ...]) -> bool:
    return any(
        isinstance(arg, Variable)
        or (isinstance(arg, list | tuple) and any(isinstance(item, Variable) for item in arg))
        for arg in args
    )


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Variable) else leaf
