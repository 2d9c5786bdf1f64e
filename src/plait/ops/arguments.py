"""How the arguments of an operation are read: which are tensors and which are settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import dtypes
from plait.core.variable import Variable
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor

Function = Callable[..., Any]
Table = dict[str, Function]

_TENSOR_NAMES = """
x x1 x2 y a b abs_ angle array inputs kernel depthwise_kernel pointwise_kernel data segment_ids
indices values updates target output targets predictions mean variance gamma beta query key value
bias mask weights condition sorted_sequence images volumes image1 image2 coordinates translation q
tensor operands variable
"""

_TENSORS = frozenset(_TENSOR_NAMES.split())
_OPERANDS = frozenset(("x1", "x2", "y"))
_LISTS = frozenset(("xs", "condlist", "choicelist"))


def array(value: Any) -> Any:
    """Return a tensor argument as a JAX array; None stays None."""
    if value is None or isinstance(value, jax.Array):
        return value
    return value.value if isinstance(value, Variable) else jnp.asarray(value)


def _operand(value: Any) -> Any:
    """Leave a Python number one, as JAX knows ``x ** 2`` better than ``x ** array(2)``."""
    return value if isinstance(value, bool | int | float | complex) else array(value)


def _arrays(values: Any) -> Any:
    return [array(value) for value in values] if isinstance(values, list | tuple) else values


def _dtype(value: Any) -> Any:
    return value if value is None else dtypes.standardize(value)


def _axis(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Return a setting as plain Python data: a traced size would be no size."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer):
        return value.tolist()
    return value


class Reader:
    """Reads the arguments of one function by the names of its parameters.

    Args:
        function: its parameters carry Keras' names.
        settings: parameters that are no tensors though named like one.
    """

    def __init__(self, function: Function, settings: Collection[str] = ()) -> None:
        self._tensors = (_TENSORS | _OPERANDS | _LISTS).difference(settings)
        self.signature = inspect.signature(function)
        self._named: dict[str, Function] = {}
        self._positional: list[Function | None] = []
        self._rest: Function | None = None
        for name, parameter in self.signature.parameters.items():
            convert = None if name in settings else _converter(name)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                self._rest = convert
                continue
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                self._positional.append(convert)
            if convert is not None:
                self._named[name] = convert
        self._in_order = list(self.signature.parameters)

    def concrete(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments with tensors as JAX arrays and dtypes by name."""
        known = self._positional
        converted = []
        for index, value in enumerate(args):
            convert = known[index] if index < len(known) else self._rest
            converted.append(value if convert is None else convert(value))
        named = {
            name: self._named[name](value) if name in self._named else value
            for name, value in kwargs.items()
        }
        return converted, named

    def symbolic(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as a graph keeps them: settings are plain data.

        Raises:
            TypeError: the function takes no such arguments.
        """
        self.signature.bind(*args, **kwargs)
        last = len(self._in_order) - 1
        kept = tuple(
            self._kept(self._in_order[min(index, last)], value) for index, value in enumerate(args)
        )
        return kept, {name: self._kept(name, value) for name, value in kwargs.items()}

    def _kept(self, name: str, value: Any) -> Any:
        return value if name in self._tensors else tree.map_structure(_plain, value)


def _converter(name: str) -> Function | None:
    if name in _OPERANDS:
        return _operand
    if name in _TENSORS:
        return array
    if name in _LISTS:
        return _arrays
    return {"dtype": _dtype, "axis": _axis, "axes": _axis}.get(name)


def broadcast(shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...] | None:
    """Return the shape that `shapes` broadcast to, or None if they do not.

    An unknown size next to a known one other than 1 can only be that one.
    """
    rank = max(map(len, shapes), default=0)
    result: list[int | None] = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis}
        known = sizes - {None, 1}
        if len(known) > 1:
            return None
        result.append(known.pop() if known else None if None in sizes else 1)
    return tuple(result)


def shape_of(value: Any) -> tuple[int | None, ...]:
    """Return the shape of any argument; that of a number or a setting is ()."""
    if isinstance(value, SymbolicTensor | Variable | np.ndarray | jax.Array):
        return tuple(value.shape)
    return np.shape(value) if isinstance(value, list | tuple) else ()
