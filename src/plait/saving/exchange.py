"""What files add to configurations: shared objects, compile settings, shapes to build with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from plait.core import dtypes
from plait.core.layer import Layer
from plait.core.registry import Exchange, UnknownNameError
from plait.errors import FileError
from plait.layers import Lambda
from plait.saving.hdf5 import Hdf5
from plait.saving.layout import groups, has_automatic_name
from plait.saving.placeholder import MissingFunction, Placeholder

# Arguments that Keras' layers do not take; a layer that uses one opens in plait alone.
_OWN_ARGUMENTS = {
    "activity_regularizer": None,
    "alpha": None,
    "autocast": True,
    "implementation": 2,
    "input_length": None,
    "sparse": False,
}


# What Keras calls a model that is a graph.
_FUNCTIONAL = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "registered_name": "Functional",
}

# Arguments of Keras' layers that plait's do not take, and the values at which they mean nothing.
_KERAS_ARGUMENTS = {"quantization_config": None}


class Writing(Exchange):
    """Completes what is written: an object that occurs twice is marked as one.

    Args:
        settings: whether compile settings are written.
    """

    def __init__(self, settings: bool = False) -> None:
        self._settings = settings
        self._first: dict[int, dict[str, Any]] = {}
        self._alive: list[Any] = []

    def written(self, obj: Any, data: dict[str, Any]) -> dict[str, Any]:
        """Return what is written for an object, given its plain configuration."""
        if isinstance(obj, Placeholder | MissingFunction):
            return dict(obj.data)
        if not isinstance(obj, Layer):
            return data
        data = {**data, "config": _accepted(obj, data)}
        if data["registered_name"] is None and data["class_name"] == "Model":
            data |= _FUNCTIONAL
        build = build_config(obj)
        if build is not None:
            data["build_config"] = build
        if self._settings and getattr(obj, "compiled", False):
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
        if data["class_name"].startswith("SpatialDropout"):
            for name in ("trainable", "data_format"):
                if config.get(name) in (None, True):
                    config.pop(name, None)
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
        looking: whether placeholders stand for what is missing.
    """

    def __init__(self, compiles: bool = True, looking: bool = False) -> None:
        self.compiles, self.looking = compiles, looking
        self._shared: dict[Any, Any] = {}
        self._missing = 0
        self._within_layer = False

    def read(self, data: Mapping[str, Any], room: str | None, make: Callable[..., Any]) -> Any:
        """Return the object that was written."""
        mark = data.get("shared_object_id")
        if mark is not None and mark in self._shared:
            return self._shared[mark]
        missing, is_inner = self._missing, self._within_layer
        config = data.get("config")
        self._within_layer = isinstance(config, Mapping) and "layers" not in config
        try:
            obj = make(_understood(data), room)
            if self._missing > missing and _is_only_known_by_running(obj):
                obj = self._stand_in(data, "layers", make)
        except Exception as error:
            unknown = isinstance(error, UnknownNameError)
            if not self.looking or not (unknown or self._missing > missing):
                raise
            obj = self._stand_in(data, room, make)
        finally:
            self._within_layer = is_inner
        if is_inner and isinstance(obj, Layer) and has_automatic_name(obj):
            obj._named = False  # its path goes through the attribute that holds it
        if mark is not None:
            self._shared[mark] = obj
        if isinstance(obj, Layer):
            self._complete(obj, data)
        return obj

    def _stand_in(self, data: Mapping[str, Any], room: str | None, make: Callable[..., Any]) -> Any:
        """Return what stands for something that is missing, or uses what is missing."""
        self._missing += 1
        config = data.get("config")
        if isinstance(config, Mapping) and "layers" in config:
            base = "Functional" if "input_layers" in config else "Sequential"
            return make({"module": "keras", "class_name": base, "config": config}, "models")
        if room == "layers" or "inbound_nodes" in data or "build_config" in data:
            name = data.get("name") or (config or {}).get("name")
            return Placeholder(data, name=name if isinstance(name, str) else None)
        return MissingFunction(data)

    def _complete(self, layer: Any, data: Mapping[str, Any]) -> None:
        if isinstance(data.get("name"), str) and layer.name != data["name"]:
            layer.name = data["name"]
        build = data.get("build_config")
        if build and not layer.built and hasattr(layer, "has_graph"):
            _build(layer, build)
        settings = data.get("compile_config")
        if settings and self.compiles and hasattr(layer, "compile_from_config"):
            layer.compile_from_config(settings)


def _is_only_known_by_running(obj: Any) -> bool:
    """Return whether a layer has to be run to know what comes out."""
    asked = ("compute_output_shape", "compute_output_spec")
    silent = all(getattr(type(obj), name, None) is getattr(Layer, name, None) for name in asked)
    return isinstance(obj, Lambda) or (isinstance(obj, Layer) and silent)


def fill_placeholders(model: Layer, file: Hdf5) -> None:
    """Give placeholders the weights that the file has for them."""
    for group in groups(model):
        if isinstance(group.layer, Placeholder):
            beginning = f"{group.path}/" if group.path and group.layer is not model else ""
            for place, dataset in file.datasets.items():
                if place.startswith(beginning) and not place.startswith("optimizer/"):
                    group.layer.hold(place, dataset.read())


def _understood(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a written object without the arguments of Keras that say nothing."""
    config = data.get("config")
    builtin = str(data.get("module") or "keras").startswith("keras")
    if not isinstance(config, Mapping) or not builtin:
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
