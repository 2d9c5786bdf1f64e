"""Configuration that is captured, not written twice, and the names it is found under.

`Configurable` remembers the arguments of the outermost constructor, so `get_config`,
`from_config` and `clone` need no code in the classes. The serialized form of an object is that of
Keras 3: ``{"module", "class_name", "config", "registered_name"}``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from plait.core.arguments import mismatch
from plait.errors import ArgumentTypeError, ConfigError, did_you_mean

T = TypeVar("T")

_ROOMS = (
    "initializers",
    "regularizers",
    "constraints",
    "activations",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "models",
)

_classes: dict[tuple[str, str], type] = {}
_functions: dict[tuple[str, str], Callable[..., Any]] = {}
_custom: dict[str, Any] = {}
_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class UnknownNameError(ConfigError):
    """A configuration names a class or a function that is neither plait's nor registered."""


class Configurable:
    """Base of everything with a configuration: layers, losses, metrics, optimizers, initializers.

    A subclass writes an ordinary constructor. An attribute that has the name of a constructor
    argument and is set after construction is part of the configuration from then on.
    """

    _captured: dict[str, Any]
    _constructed: bool
    _var_keyword: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]
        module = cls.__module__
        if module.startswith("plait."):
            _classes.setdefault((_room(module), cls.__name__), cls)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if self.__dict__.get("_constructed") and name in self._captured:
            self._captured[name] = value

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data (see `serialize`)."""
        config = {}
        for name, value in captured(self).items():
            try:
                config[name] = serialize(value)
            except ConfigError as error:
                raise ConfigError(
                    f"{type(self).__name__} cannot be turned into a configuration: its argument "
                    f"{name}: {error}"
                ) from error
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make an object from what `get_config` returned."""
        return cls(**{name: deserialize(value) for name, value in config.items()})

    def clone(self, **changes: Any) -> Self:
        """Make a new object from the captured arguments, with `changes` to some of them."""
        return type(self)(**{**captured(self), **changes})


def captured(obj: Configurable) -> dict[str, Any]:
    """Return the arguments `obj` was made with, keyword arguments flattened in."""
    return dict(obj.__dict__.get("_captured", {}))


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)
    bind = _binder(signature)

    @functools.wraps(init)
    def recorded(self: Configurable, *args: Any, **kwargs: Any) -> None:
        if "_captured" in self.__dict__:
            init(self, *args, **kwargs)
            return
        try:
            arguments = bind(self, args, kwargs)
        except TypeError as error:
            raise mismatch(type(self).__name__, signature, kwargs, error) from None
        own = self.__dict__
        own["_captured"], own["_constructed"] = arguments, False
        init(self, *args, **kwargs)
        own["_constructed"] = True

    return recorded


def _binder(signature: inspect.Signature) -> Callable[..., dict[str, Any]]:
    """Return ``(self, args, kwargs) -> arguments by name, defaults filled in``, made to be quick.

    What it returns raises a TypeError for arguments that do not fit.
    """
    parameters = list(signature.parameters.values())[1:]
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    positional = [p.name for p in named if p.kind is not kinds.KEYWORD_ONLY]
    blank = {p.name: p.default for p in named}
    required = [p.name for p in named if p.default is kinds.empty]
    takes_any = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    plain = all(p.kind is not kinds.POSITIONAL_ONLY for p in named)

    def bind(obj: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        arguments = {**blank, **dict(zip(positional, args, strict=False)), **kwargs}
        fits = len(args) <= len(positional) and kwargs.keys().isdisjoint(positional[: len(args)])
        known = takes_any or len(arguments) == len(blank)
        missing = any(arguments[name] is kinds.empty for name in required)
        if missing or not (plain and fits and known):
            signature.bind(obj, *args, **kwargs)
        return arguments

    return bind


def _room(module: str) -> str:
    return module.split(".")[1]


def _keras_module(module: str) -> str:
    room = _room(module)
    if module == "plait.optimizers.schedules":
        return "keras.optimizers.schedules"
    return "keras" if room == "core" else f"keras.{room}"


def register_function(room: str, function: Callable[..., Any], name: str | None = None) -> None:
    """Let a plait function be written to configurations by its bare name."""
    _functions[room, name or function.__name__] = function


def register_class(room: str, cls: type, name: str) -> None:
    """Let configurations name a plait class by `name` as well."""
    _classes.setdefault((room, name), cls)


def register_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[type[T]], type[T]]:
    """Decorate a class or function of yours so that configurations can hold and find it."""

    def register(obj: type[T]) -> type[T]:
        _custom[f"{package}>{name or obj.__name__}"] = obj
        return obj

    return register


@contextmanager
def custom_object_scope(objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Let `deserialize` find `objects` by name within the block."""
    added = {f"scope>{name}": obj for name, obj in (objects or {}).items()}
    saved = dict(_custom)
    _custom.update(added)
    try:
        yield
    finally:
        _custom.clear()
        _custom.update(saved)


def registered_name(obj: Any) -> str | None:
    """Return the name `obj` was registered under, or None."""
    for name, known in _custom.items():
        if known is obj:
            return name
    return None


def find_custom(name: str) -> Any:
    """Return the custom object registered as `name` (with or without its package), or None."""
    if name in _custom:
        return _custom[name]
    for known, obj in reversed(_custom.items()):
        if known.split(">", 1)[1] == name:
            return obj
    return None


def serialize(value: Any) -> Any:
    """Turn a value of a configuration into plain data (numbers, strings, lists, dicts)."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) or hasattr(value, "__jax_array__") or _is_jax_array(value):
        array = np.asarray(value)
        return {
            "class_name": "__numpy__",
            "config": {"value": array.tolist(), "dtype": array.dtype.name},
        }
    if isinstance(value, tuple):
        return tuple(serialize(item) for item in value)
    if isinstance(value, list):
        return [serialize(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): serialize(item) for key, item in value.items()}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, slice):
        ends = {"start": value.start, "stop": value.stop, "step": value.step}
        return {"class_name": "__slice__", "config": {k: serialize(v) for k, v in ends.items()}}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if hasattr(value, "get_config") and not isinstance(value, type):
        written = _named(type(value)) | {"config": value.get_config()}
        exchange = _exchange.get()
        return written if exchange is None else exchange.written(value, written)
    if callable(value):
        for (_, known), function in _functions.items():
            if function is value:
                return known
        name = registered_name(value) or getattr(value, "__name__", "")
        if not name or name == "<lambda>":
            raise ConfigError(
                "an anonymous function cannot be written down.",
                fix="write it with def and register it: @plait.saving.register_serializable()",
            )
        return {
            "module": getattr(value, "__module__", "builtins"),
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }
    raise ConfigError(
        f"{_a(type(value).__name__)} cannot be written down.",
        fix="pass plain data, or give its class get_config() and register it with "
        "@plait.saving.register_serializable()",
    )


def _named(cls: type) -> dict[str, Any]:
    builtin = cls.__module__.startswith("plait.")
    module = _keras_module(cls.__module__) if builtin else cls.__module__
    return {
        "module": None if module == "__main__" else module,
        "class_name": cls.__name__,
        "registered_name": None if builtin else registered_name(cls) or cls.__name__,
    }


def _is_jax_array(value: Any) -> bool:
    return type(value).__module__.startswith("jax")


def deserialize(value: Any, room: str | None = None) -> Any:
    """Turn plain data back into the value it was made from.

    Args:
        value: what `serialize` returned, or a configuration written by Keras 3.
        room: where to look a bare class name up first ("layers", "losses", ...).
    """
    if isinstance(value, list | tuple):
        return type(value)(deserialize(item, room) for item in value)
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:
        return {key: deserialize(item, room) for key, item in value.items()}
    name: str = value["class_name"]
    config: Any = value.get("config")
    if name in ("__numpy__", "__tensor__"):
        return np.array(config["value"], dtype=np.dtype(config["dtype"]))
    if name == "__slice__":
        return slice(*(deserialize(config[end]) for end in ("start", "stop", "step")))
    if name == "__ellipsis__":
        return Ellipsis
    if name == "__bytes__":
        return config["value"].encode()
    exchange = _exchange.get()
    return _make(value, room) if exchange is None else exchange.read(value, room, _make)


def _make(value: Mapping[str, Any], room: str | None) -> Any:
    name: str = value["class_name"]
    config: Any = value.get("config")
    if name == "__lambda__":
        raise UnknownNameError(
            "it holds the code of an anonymous function, which plait does not run from files.",
            fix="load_model(path, missing='placeholder'), then model.replace('name of the layer', "
            "layers.Lambda(function)) with a function of your own",
        )
    if name == "function":
        registered = value.get("registered_name")
        return find_function(config if registered in (None, "function") else registered, room)
    cls = find_class(value, room)
    return cls.from_config(config or {}) if hasattr(cls, "from_config") else cls(**config or {})


class Exchange:
    """What a file adds to the configurations of objects; see `exchanging`."""

    def written(self, obj: Any, data: dict[str, Any]) -> dict[str, Any]:
        """Return what is written for an object, given what `serialize` made of it."""
        return data

    def read(self, data: Mapping[str, Any], room: str | None, make: Callable[..., Any]) -> Any:
        """Return the object or function that was written; ``make(data, room)`` makes it."""
        return make(data, room)


@contextmanager
def exchanging(exchange: Exchange) -> Iterator[None]:
    """Let `serialize` and `deserialize` go through an `Exchange` in the block, in this thread."""
    token = _exchange.set(exchange)
    try:
        yield
    finally:
        _exchange.reset(token)


def find_class(value: Mapping[str, Any], room: str | None = None) -> Any:
    """Return the class that a serialized object names."""
    name = value["class_name"]
    custom = find_custom(value.get("registered_name") or name) or find_custom(name)
    if custom is not None:
        return custom
    rooms = [room] if room else []
    module = value.get("module") or ""
    if module.startswith(("keras.", "plait.")):
        rooms.insert(0, module.split(".")[1])
    for candidate in rooms:
        load_rooms(candidate)
        if (candidate, name) in _classes:
            return _classes[candidate, name]
    load_rooms()
    matches = [cls for (_, known), cls in _classes.items() if known == name]
    if matches and not module.startswith("builtins"):
        return matches[0]
    known = {known for _, known in _classes} | {n.split(">", 1)[1] for n in _custom}
    raise UnknownNameError(
        f"the configuration names {name!r}, which is neither plait's nor registered."
        f"{did_you_mean(name, known)}",
        fix=f"custom_objects={{{name!r}: {name}}}, or decorate the class with "
        "@plait.saving.register_serializable()",
    )


def find_function(name: str, room: str | None = None) -> Any:
    """Return the function that a configuration names."""
    custom = find_custom(name)
    if custom is not None:
        return custom
    load_rooms(*([room] if room else []))
    for (known_room, known), function in _functions.items():
        if known == name and room in (None, known_room):
            return function
    raise UnknownNameError(
        f"the configuration names the function {name!r}, which is neither plait's nor registered.",
        fix=f"custom_objects={{{name!r}: {name}}}",
    )


def resolve(room: str, identifier: Any) -> Any:
    """Return what `identifier` means in a room below this one: ``resolve("losses", "mse")``."""
    return importlib.import_module(f"plait.{room}").get(identifier)


def load_rooms(*rooms: str) -> None:
    """Import the rooms whose classes a configuration may name; by default all of them."""
    for room in _ROOMS:
        if not rooms or room in rooms:
            importlib.import_module(f"plait.{room}")


def lookup(
    identifier: Any,
    table: Mapping[str, Any],
    room: str,
    what: str,
) -> Any:
    """Resolve what users may write for an object: a name, a configuration, a class or an object.

    Args:
        identifier: the user's argument.
        table: accepted names and what each stands for.
        room: the room to look classes up in.
        what: the word for it in an error ("optimizer").
    """
    if isinstance(identifier, str):
        if identifier in table:
            found = table[identifier]
        else:
            found = find_custom(identifier)
        if found is None:
            raise ConfigError(
                f"there is no {what} named {identifier!r}.{did_you_mean(identifier, table)}",
                fix=_one_of(table),
            )
        return found() if isinstance(found, type) else found
    if isinstance(identifier, Mapping):
        return deserialize(identifier, room)
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier) or hasattr(identifier, "get_config"):
        return identifier
    raise ArgumentTypeError(
        f"{_a(what)} is a name, a function or an object, not {type(identifier).__name__}.",
        fix=_one_of(table),
    )


def _a(what: str) -> str:
    return f"{'an' if what[0].lower() in 'aeiou' else 'a'} {what}"


def _one_of(table: Mapping[str, Any]) -> str:
    shown = [name for name in table if name.islower() or name.lower() not in table]
    plain = [name for name in shown if name.islower()]
    return f"one of {', '.join(sorted(shown if len(shown) < 20 else plain))}"
