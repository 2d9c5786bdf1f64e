"""What files add to configurations: shared objects, compile settings, shapes to build with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from plait.core import dtypes
from plait.core.layer import Layer
from plait.core.registry import Exchange
from plait.errors import FileError

# Arguments that Keras' layers do not take; a layer that uses one opens in plait alone.
_OWN_ARGUMENTS = {
    "activity_regularizer": None,
    "autocast": True,
    "implementation": 2,
    "input_length": None,
    "sparse": False,
}


# Arguments of Keras' layers that plait's do not take, and the values at which they mean nothing.
_KERAS_ARGUMENTS = {"quantization_config": None}


class Writing(Exchange):
    """Completes what is written: an object that occurs twice is marked as one."""

    def __init__(self) -> None:
        self._first: dict[int, dict[str, Any]] = {}
        self._alive: list[Any] = []

    def written(self, obj: Any, data: dict[str, Any]) -> dict[str, Any]:
        """Return what is written for an object, given its plain configuration."""
        if not isinstance(obj, Layer):
            return data
        data = {**data, "config": _accepted(obj, data)}
        build = build_config(obj)
        if build is not None:
            data["build_config"] = build
        if getattr(obj, "compiled", False):
            data["compile_config"] = obj.get_compile_config()  # type: ignore[attr-defined]
        first = self._first.setdefault(id(obj), data)
        if first is not data:
            number = first.setdefault("shared_object_id", len(self._alive) + 1)
            data["shared_object_id"] = number
        self._alive.append(obj)
        return data


def _accepted(layer: Layer, data: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(data["config"])
    if data["registered_name"] is None:
        for name, default in _OWN_ARGUMENTS.items():
            if name in config and config[name] == default:
                del config[name]
        return config
    parameters = inspect.signature(type(layer).__init__).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return config
    usual = {"name": True, "trainable": layer.trainable, "dtype": _is_usual(layer)}
    return {k: v for k, v in config.items() if k in parameters or not usual.get(k)}


def _is_usual(layer: Layer) -> bool:
    return layer.dtype_policy == dtypes.dtype_policy()


def build_config(layer: Any) -> dict[str, Any] | None:
    """Return the shapes that a model with its own `call` was built for; None for other layers."""
    shapes = getattr(layer, "_built_for", None)
    if not hasattr(layer, "has_graph") or layer.has_graph or shapes is None:
        return None
    return {"input_shape": shapes}


class Reading(Exchange):
    """Completes what is read: one object for one mark, models built and compiled.

    Args:
        compiles: whether models are compiled as they were.
    """

    def __init__(self, compiles: bool = True) -> None:
        self.compiles = compiles
        self._shared: dict[Any, Any] = {}

    def read(self, data: Mapping[str, Any], room: str | None, make: Callable[..., Any]) -> Any:
        """Return the object that was written."""
        mark = data.get("shared_object_id")
        if mark is not None and mark in self._shared:
            return self._shared[mark]
        obj = make(_understood(data), room)
        if mark is not None:
            self._shared[mark] = obj
        if isinstance(obj, Layer):
            self._complete(obj, data)
        return obj

    def _complete(self, layer: Any, data: Mapping[str, Any]) -> None:
        if isinstance(data.get("name"), str) and layer.name != data["name"]:
            layer.name = data["name"]
        build = data.get("build_config")
        if build and not layer.built and hasattr(layer, "has_graph"):
            _build(layer, build)
        settings = data.get("compile_config")
        if settings and self.compiles and hasattr(layer, "compile_from_config"):
            layer.compile_from_config(settings)


def _understood(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a written object without the arguments of Keras that say nothing."""
    config = data.get("config")
    if not isinstance(config, Mapping) or not str(data.get("module")).startswith("keras"):
        return data
    kept = {k: v for k, v in config.items() if not (k in _KERAS_ARGUMENTS and v is None)}
    return {**data, "config": kept}


def _build(model: Any, build: Mapping[str, Any]) -> None:
    shapes = build.get("input_shape")
    if shapes is None:
        given = build.get("shapes_dict") or {}
        shapes = next(iter(given.values()), None) if len(given) == 1 else None
    if shapes is None:
        raise FileError(
            f"the file does not say for which inputs {model.describe()} is to be built.",
            fix="make an object of the class, call it on data, then load_weights(path)",
        )
    model.build(as_shapes(shapes))


def as_shapes(value: Any) -> Any:
    """Return shapes that were written as lists."""
    if isinstance(value, Mapping):
        return {key: as_shapes(item) for key, item in value.items()}
    if all(size is None or isinstance(size, int) for size in value):
        return tuple(value)
    return [as_shapes(item) for item in value]
