"""Values as Python expressions, and how they are laid out on lines."""

from __future__ import annotations

import builtins
import functools
import inspect
import keyword
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from plait.core import registry
from plait.core.dtypes import DTypePolicy
from plait.core.layer import Layer
from plait.core.registry import Configurable, captured
from plait.errors import ConfigError

WIDTH = 88
LARGEST = 64  # numbers in a constant
_RESERVED = frozenset({*keyword.kwlist, *dir(builtins), "plait", "layers", "ops", "np", "model"})


class Brackets(NamedTuple):
    """Something in brackets behind something else: a call, a list, a dict.

    Attributes:
        head: what is in front.
        pair: the brackets.
        items: what is in them; each with what is written in front of it, as ``name=``.
    """

    head: Expression
    pair: str
    items: tuple[tuple[str, Expression], ...]


Expression = str | Brackets


def call(head: Expression, *args: Expression, **kwargs: Expression) -> Brackets:
    """Return a call."""
    items = [("", arg) for arg in args] + [(f"{name}=", arg) for name, arg in kwargs.items()]
    return Brackets(head, "()", tuple(items))


def flat(code: Expression) -> str:
    """Return an expression on one line."""
    if isinstance(code, str):
        return code
    items = ", ".join(prefix + flat(item) for prefix, item in code.items)
    if code.pair == "()" and not code.head and len(code.items) == 1:
        items += ","
    return f"{flat(code.head)}{code.pair[0]}{items}{code.pair[1]}"


def laid_out(code: Expression, indent: str = "", before: int = 0, after: int = 0) -> str:
    """Return an expression, on several lines if one is too short for it.

    Args:
        code: the expression.
        indent: what its first line begins with; not returned.
        before: characters in front of it on its first line.
        after: characters behind it on its last.
    """
    line = flat(code)
    if isinstance(code, str) or len(indent) + before + len(line) + after <= WIDTH:
        return line
    if isinstance(code.head, Brackets) and code.head.items:
        tail = line[len(flat(code.head)) :]
        if len(indent) + len(tail) + 1 <= WIDTH:
            return laid_out(code.head, indent, WIDTH) + tail
    if not code.items:
        return line
    inner = indent + "    "
    items = [
        f"{inner}{prefix}{laid_out(item, inner, len(prefix), 1)}," for prefix, item in code.items
    ]
    head = laid_out(code.head, indent)
    return "\n".join([f"{head}{code.pair[0]}", *items, f"{indent}{code.pair[1]}"])


class Names:
    """Names of variables, each given once."""

    def __init__(self) -> None:
        self._taken = set(_RESERVED)

    def fresh(self, wanted: str) -> str:
        """Return a name that is free: `wanted`, as a Python name, or numbered."""
        base = re.sub(r"\W", "_", wanted)
        if not base.isidentifier():
            base = f"_{base}"
        name = f"{base}_" if base in _RESERVED else base
        count = 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


class Writer:
    """Writes values as expressions, and notes what they import.

    Args:
        names: where imported names come from.
        layer: returns the expression of a layer among the values.
    """

    def __init__(self, names: Names, layer: Callable[[Layer], Expression]) -> None:
        self._names, self._layer = names, layer
        self._imports: dict[tuple[str, str], str] = {}
        self._rooms: set[str] = set()
        self._numpy = False

    def imports(self) -> list[str]:
        """Return the lines that import what was written so far."""
        lines = ["import numpy as np", ""] if self._numpy else []
        lines.append("import plait")
        if self._rooms:
            lines.append(f"from plait import {', '.join(sorted(self._rooms))}")
        custom = []
        for (module, name), used in sorted(self._imports.items()):
            custom.append(f"from {module} import {name}" + (f" as {used}" * (used != name)))
        return lines + (["", *custom] if custom else [])

    def room(self, name: str, attribute: str) -> str:
        """Return ``layers.Dense`` or ``plait.initializers.Zeros``."""
        if name in ("layers", "ops"):
            self._rooms.add(name)
            return f"{name}.{attribute}"
        return f"plait.{name}.{attribute}"

    def reference(self, value: Any) -> str:
        """Return how source names a class or a function.

        Raises:
            ConfigError: no import leads to it.
        """
        module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if module is None or not path or "<" in path:
            kind = "class" if isinstance(value, type) else "function"
            shown = "an anonymous function" if "<lambda>" in path else f"the {kind} {path or value}"
            raise ConfigError(
                f"{shown} cannot be imported, so source cannot name it.",
                fix=f"define it with {'class' if kind == 'class' else 'def'} at the top of a "
                "module",
            )
        first, _, rest = path.partition(".")
        if module == "builtins":
            return path
        if module.startswith("plait."):
            room = module.split(".")[1]
            public = sys.modules.get(f"plait.{room}")
            if getattr(public, first, None) is not None:
                return self.room(room, path)
        used = self._imports.get((module, first))
        if used is None:
            used = self._imports[module, first] = self._names.fresh(first)
        return f"{used}.{rest}" if rest else used

    def value(self, value: Any, by_name: bool = False) -> Expression:
        """Return a value as an expression.

        Args:
            value: plain data, a small array, a function, a layer, or what has a configuration.
            by_name: whether plait's own functions are written as strings.

        Raises:
            ConfigError: it cannot be written.
        """
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if value is None or isinstance(value, bool | int | float | complex):
            return repr(value)
        if value is Ellipsis:
            return "..."
        if isinstance(value, slice):
            return call("slice", *map(self.value, (value.start, value.stop, value.step)))
        if isinstance(value, list | tuple | Mapping):
            return self._container(value, by_name)
        if isinstance(value, np.generic):
            return self.value(value.item())
        if isinstance(value, np.dtype):
            return quoted(value.name)
        if isinstance(value, DTypePolicy):
            return quoted(value.name)
        if isinstance(value, Layer):
            return self._layer(value)
        if isinstance(value, np.ndarray | jax.Array):
            return self._array(value)
        if isinstance(value, type):
            return self.reference(value)
        if isinstance(value, Configurable):
            return self.constructed(value, captured(value))
        if hasattr(value, "get_config"):
            return call(self.reference(type(value)), **self._each(value.get_config()))
        if callable(value):
            return self._function(value, by_name)
        raise ConfigError(f"a {type(value).__name__} cannot be written as source.")

    def constructed(
        self, value: Configurable, arguments: Mapping[str, Any], **more: Expression
    ) -> Brackets:
        """Return a constructor's call with the arguments that are not the defaults.

        Args:
            value: what is constructed.
            arguments: name -> argument.
            more: arguments that are expressions already.

        Raises:
            ConfigError: an argument cannot be written; the message names it.
        """
        cls = type(value)
        ours = cls.__module__.startswith("plait.") and cls.__name__ != "Lambda"
        parameters = constructor_parameters(cls)  # type: ignore[arg-type]
        positional: list[Expression] = []
        named: dict[str, Expression] = {}
        for name, argument in arguments.items():
            parameter = parameters.get(name)
            required = parameter is not None and parameter.default is parameter.empty
            try:
                code = self.value(argument, by_name=ours)
            except ConfigError as error:
                described = value.describe() if isinstance(value, Layer) else cls.__name__
                raise ConfigError(
                    f"{described}: its argument {name} cannot be written as source: {error.what}",
                    fix=error.fix,
                ) from error
            if required and parameter.kind is parameter.POSITIONAL_OR_KEYWORD and not named:  # type: ignore[union-attr]
                positional.append(code)
            elif required or parameter is None or not _is_default(argument, parameter.default):
                named[name] = code
        return call(self.reference(cls), *positional, **named, **more)

    def _container(self, value: Any, by_name: bool) -> Expression:
        if isinstance(value, Mapping):
            items = [(flat(self.value(k)) + ": ", self.value(v, by_name)) for k, v in value.items()]
            return Brackets("", "{}", tuple(items))
        items = [("", self.value(item, by_name)) for item in value]
        if hasattr(value, "_fields"):
            return Brackets(self.reference(type(value)), "()", tuple(items))
        return Brackets("", "[]" if isinstance(value, list) else "()", tuple(items))

    def _each(self, values: Mapping[str, Any]) -> dict[str, Expression]:
        return {name: self.value(item) for name, item in values.items()}

    def _array(self, value: Any) -> Expression:
        array = np.asarray(value)
        if array.size > LARGEST:
            raise ConfigError(
                f"an array of shape {array.shape} is too large to be written out; "
                f"{LARGEST} numbers are not.",
                fix="keep it in a layer's weight, or save the model: model.save('model.keras')",
            )
        self._numpy = True
        return call("np.array", self.value(array.tolist()), dtype=quoted(array.dtype.name))

    def _function(self, function: Any, by_name: bool) -> Expression:
        if by_name and getattr(function, "__module__", "").startswith("plait."):
            name = registry.serialize(function)
            if isinstance(name, str):
                return quoted(name)
        return self.reference(function)


@functools.cache
def constructor_parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return name -> parameter of a constructor, and of those it hands further arguments to."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in base.__dict__:
            continue
        parameters = list(inspect.signature(base.__dict__["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def quoted(text: str) -> str:
    """Return a string with double quotes where that needs no escapes."""
    plain = repr(text)
    return plain if '"' in text or "\\" in plain or "'" in text else f'"{text}"'


def _is_default(value: Any, default: Any) -> bool:
    if type(value) is not type(default):
        return False
    return value is default or (_is_plain(value) and bool(value == default))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, bool | int | float | str)
