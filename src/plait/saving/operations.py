"""Calls of `plait.ops` as the operations of Keras 3, and back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from plait.core import registry
from plait.errors import ConfigError
from plait.ops import FUNCTIONS, Op
from plait.saving.operation_table import CLASSES, MODULES, SETTINGS

_PREFIX = "keras.src.ops."

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def _class_name(function: str) -> str:
    words = function.rpartition(".")[2].split("_")
    return CLASSES.get(function, "".join(word.title() for word in words))


def _full(module: str, name: str) -> str:
    return f"image.{name}" if module == "image" else name


_MODULE_OF = {
    _full(module, name): module for module, names in MODULES.items() for name in names.split()
}
_SETTINGS_OF = {
    name: settings.split() for settings, names in SETTINGS.items() for name in names.split()
}
_FUNCTION_OF = {(module, _class_name(name)): name for name, module in reversed(_MODULE_OF.items())}


def is_operation(data: Mapping[str, Any]) -> bool:
    """Return whether a written layer is an operation of Keras."""
    return str(data.get("module")).startswith(_PREFIX)


def to_keras(op: Op, args: Args, kwargs: Kwargs) -> tuple[dict[str, Any], Args, Kwargs]:
    """Return an operation as Keras writes it, and the arguments of its call.

    A function that Keras does not have as an operation is written as plait's own.
    """
    name = op.function
    if name not in _MODULE_OF:
        own = {"function": name, "name": op.name}
        return _written("plait.ops", "Op", own), args, kwargs
    signature = inspect.signature(FUNCTIONS[name])
    bound = signature.bind(*args, **kwargs)
    if name == "get_item" and isinstance(bound.arguments["key"], list):
        bound.arguments["key"] = (bound.arguments["key"],)
    settings, config = _SETTINGS_OF.get(name, []), {"name": op.name}
    positional: list[Any] = []
    keywords: Kwargs = {}
    for parameter, value in bound.arguments.items():
        kind = signature.parameters[parameter].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            positional += value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            keywords |= value
        elif parameter in settings:
            config[parameter] = registry.serialize(value)
        elif keywords or len(positional) < _place(signature, parameter, settings):
            keywords[parameter] = value
        else:
            positional.append(value)
    module, cls = f"{_PREFIX}{_MODULE_OF[name]}", _class_name(name)
    return _written(module, cls, config) | {"registered_name": cls}, tuple(positional), keywords


def _place(signature: inspect.Signature, parameter: str, settings: list[str]) -> int:
    return [name for name in signature.parameters if name not in settings].index(parameter)


def _written(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def from_keras(data: Mapping[str, Any]) -> Op:
    """Return the operation that Keras wrote; `arguments` completes those of its calls.

    Raises:
        ConfigError: plait has no such function.
    """
    module, cls = data["module"].removeprefix(_PREFIX), data["class_name"]
    name = _FUNCTION_OF.get((module, cls))
    if name is None:
        raise ConfigError(
            f"the file uses the operation {cls!r} of Keras, which plait does not have.",
            fix=f"custom_objects={{{cls!r}: a layer that does the same}}",
        )
    return Op(name, name=data["config"].get("name"))


def arguments(data: Mapping[str, Any], args: Any, kwargs: Any) -> tuple[Args, Kwargs]:
    """Return the arguments of a call of an operation together with its configuration."""
    name = _FUNCTION_OF[data["module"].removeprefix(_PREFIX), data["class_name"]]
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    settings = {k: registry.deserialize(v) for k, v in data["config"].items() if k in parameters}
    first = next(iter(parameters))
    if name == "get_item" and isinstance(args[1], list):
        args = (args[0], tuple(args[1]))
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values()):
        leading = [settings.pop(first)] if first in settings else []
        return (*leading, *args), {**settings, **kwargs}
    free = [key for key in parameters if key not in settings]
    named = {**dict(zip(free, args, strict=False)), **settings, **kwargs}
    return ((named.pop(first),) if first in named else ()), named
