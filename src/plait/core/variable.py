"""Variables: named arrays that layers, metrics and optimizers own."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import dtypes, random
from plait.core.scope import current_scope
from plait.errors import ConfigError, ShapeError
from plait.graph import tree


class Owner(Protocol):
    """Whoever keeps the values of variables while they train."""

    def read(self, variable: Variable) -> jax.Array:
        """Return a copy of the current value of `variable`."""

    def write(self, variable: Variable, value: Any) -> None:
        """Give `variable` a new value."""

    def release(self) -> None:
        """Write every value back to its variable and let go of them."""


_earlier: ContextVar[Mapping[Variable, jax.Array] | None] = ContextVar("earlier", default=None)


@contextmanager
def values_as_of(moment: Mapping[Variable, jax.Array]) -> Iterator[None]:
    """Let variables be read with the values of an earlier moment in the block, in this thread.

    Training goes on elsewhere: what is written to a file is the model of that moment.
    """
    token = _earlier.set(moment)
    try:
        yield
    finally:
        _earlier.reset(token)


class Variable:
    """A named array with state.

    The value is made from its initializer when somebody first needs it, from a seed drawn at
    construction: building a model computes nothing, and the order of use does not matter.

    Args:
        initializer: a value, or a function ``(shape, dtype) -> array``.
        shape: needed with a function.
        dtype: default: that of the value, or the default float.
        trainable: whether optimizers change it.
        autocast: whether layers read it in their compute dtype.
        name: the last part of its path.
        path: the full path, ``"dense/kernel"``; default: the name.

    Example:
        >>> import plait
        >>> v = plait.Variable([1.0, 2.0], name="scale")
        >>> v.assign_add([1.0, 1.0])
        >>> v.numpy().tolist()
        [2.0, 3.0]
    """

    def __init__(
        self,
        initializer: Any,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        name: str | None = None,
        *,
        path: str | None = None,
        regularizer: Callable[[Any], Any] | None = None,
        constraint: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name or "variable"
        self.path = path or self.name
        self.trainable = trainable
        self.autocast = autocast
        self.regularizer = regularizer
        self.constraint = constraint
        self.owner: Owner | None = None
        self._value: jax.Array | None = None
        if callable(initializer):
            if shape is None:
                raise ShapeError(
                    f"Variable '{self.path}' has an initializer function but no shape.",
                    fix="pass shape=(...)",
                )
            self.shape: tuple[int, ...] = tuple(int(size) for size in shape)
            self.dtype: str = jax.dtypes.canonicalize_dtype(dtypes.standardize(dtype)).name
            self._initializer = initializer
            self._seed = random.next_seed()
        else:
            array = np.asarray(initializer) if not isinstance(initializer, jax.Array) else None
            if dtype is None:
                source = initializer if array is None else array
                dtype = source.dtype if array is None or array.dtype.kind != "f" else None
            self.dtype = jax.dtypes.canonicalize_dtype(dtypes.standardize(dtype)).name
            with jax.ensure_compile_time_eval():
                self._value = on_device(initializer if array is None else array, self.dtype)
            self.shape = self._value.shape

    @property
    def value(self) -> Any:
        """The array: this scope's while tracing (in the layer's compute dtype), else the state."""
        scope = current_scope()
        if scope is None:
            return self.concrete_value()
        value = scope.read(self)
        if self.autocast and scope.compute_dtype and dtypes.is_float(self.dtype):
            value = value.astype(scope.compute_dtype)
        return value

    def concrete_value(self) -> jax.Array:
        """Return the state outside every scope, made now if it was not yet."""
        earlier = _earlier.get()
        if earlier is not None and self in earlier:
            return earlier[self]
        if self.owner is not None:
            return self.owner.read(self)
        if self._value is None:
            with jax.ensure_compile_time_eval(), random.seeded(self._seed):
                value = jnp.asarray(self._initializer(self.shape, dtype=self.dtype), self.dtype)
            if value.shape != self.shape:
                raise ShapeError(
                    f"the initializer of variable '{self.path}' made {value.shape}, "
                    f"but the variable is {self.shape}."
                )
            self._value = value
        return self._value

    def store(self, value: jax.Array | None) -> None:
        """Set the state without a check; for whoever computed `value` from this variable."""
        self._value = value

    def lose(self) -> None:
        """Note that the device failed while it had the value; what was there before stays."""
        if self._value is None:
            self._initializer, self._seed = functools.partial(_lost, self.path), 0

    def assign(self, value: Any) -> None:
        """Set the value, cast to this variable's dtype.

        Raises:
            ShapeError: the shape is not this variable's.
        """
        scope = current_scope()
        if isinstance(value, Variable):
            value = value.value
        if np.shape(value) != self.shape:
            raise ShapeError(
                f"variable '{self.path}' is {self.shape}; it cannot take {np.shape(value)}."
            )
        if scope is not None:
            scope.assign(self, jnp.asarray(value, self.dtype))
            return
        if self.owner is not None:
            self.owner.write(self, value)
        else:
            self._value = on_device(value, self.dtype)

    def copy_from(self, other: Variable) -> None:
        """Take the value that another variable of the same shape has, or will be drawn with."""
        undrawn = other.owner is None and other._value is None
        if undrawn and self.owner is None and self.dtype == other.dtype:
            self._value, self._initializer, self._seed = None, other._initializer, other._seed
        else:
            self.assign(np.array(other.concrete_value()))

    def assign_add(self, value: Any) -> None:
        """Add to the value."""
        self.assign(_raw(self) + jnp.asarray(_plain(value)))

    def assign_sub(self, value: Any) -> None:
        """Subtract from the value."""
        self.assign(_raw(self) - jnp.asarray(_plain(value)))

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def numpy(self) -> np.ndarray:
        """Return the value as a NumPy array."""
        return np.asarray(self.value)

    def __jax_array__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.value, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"variable '{self.path}' is a scalar: it has no length.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        value = self.value
        return (value[index] for index in range(len(self)))

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "owner": None}
        if self.owner is not None or self._value is not None:
            state["_value"] = self.concrete_value()
            state.pop("_initializer", None)
        return state

    def __neg__(self) -> Any:
        return -self.value

    def __abs__(self) -> Any:
        return abs(self.value)

    def __repr__(self) -> str:
        kind = "" if self.trainable else " non-trainable"
        return f"<Variable {self.path} {self.shape} {self.dtype}{kind}>"


def _lost(path: str, shape: Any, dtype: Any) -> Any:
    raise ConfigError(
        f"the value of variable '{path}' is lost: the device failed in the middle of training.",
        fix="set or load the weights of the model; compile it again for a new optimizer",
    )


def on_device(value: Any, dtype: str) -> jax.Array:
    """Return a copy of an array or a number as a JAX array.

    What NumPy can convert it does: JAX would compile a program for each shape.
    """
    if isinstance(value, np.ndarray | np.generic | bool | int | float):
        return jax.device_put(np.array(value, dtype))
    return jnp.array(value, dtype)


def unwrapped(structure: Any) -> Any:
    """Return nested arguments with every variable replaced by its value."""
    return tree.map_structure(_plain, structure)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Variable) else value


def _raw(variable: Variable) -> Any:
    scope = current_scope()
    return variable.concrete_value() if scope is None else scope.read(variable)


def _operator(function: Callable[..., Any], reflected: bool) -> Callable[..., Any]:
    def method(self: Variable, other: Any) -> Any:
        left, right = self.value, _plain(other)
        return function(right, left) if reflected else function(left, right)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    _function = getattr(operator, _name)
    setattr(Variable, f"__{_name}__", _operator(_function, False))
    setattr(Variable, f"__r{_name}__", _operator(_function, True))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Variable, f"__{_name}__", _operator(getattr(operator, _name), False))
