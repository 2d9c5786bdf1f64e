"""The one wrapper that lets a JAX function take symbolic tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import jax
import numpy as np

from plait.core import naming
from plait.core.infer import abstract_call
from plait.core.layer import Layer
from plait.core.scope import current_scope
from plait.core.spec import TensorSpec, input_details
from plait.core.variable import Variable, unwrapped
from plait.errors import (
    ArgumentTypeError,
    ConfigError,
    PlaitError,
    ShapeError,
    did_you_mean,
    user_location,
)
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor, any_symbolic, install_operation
from plait.ops.arguments import Reader, broadcast, shape_of
from plait.ops.descriptions import describe

FUNCTIONS: dict[str, Callable[..., Any]] = {}
_ELEMENTWISE: set[str] = set()


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
        name = name or naming.auto_name(function.rpartition(".")[2])
        super().__init__(name=name, autocast=False, **kwargs)
        self._named = named
        self.function = function

    @property
    def display_name(self) -> str:
        """How errors and pictures call its kind: ``ops.add``."""
        return f"ops.{self.function}"

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function."""
        return FUNCTIONS[self.function](*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return shapes and dtypes: by broadcasting where that is the rule, else by tracing."""
        if self.function in _ELEMENTWISE:
            return _broadcast_spec(self.function, args, kwargs)
        try:
            return abstract_call(self, args, kwargs)
        except Exception:
            refined = _with_sizes_of_peers(args, kwargs)
            if refined is None:
                raise
            return abstract_call(self, *refined)


def operation(
    name: str,
    function: Callable[..., Any],
    *,
    elementwise: bool = False,
    reads_tensors: bool = True,
    settings: Collection[str] = (),
) -> Callable[..., Any]:
    """Return `function` made aware of symbolic tensors and variables, and add it to the table.

    On symbolic tensors it adds a node to the graph; on anything else it is the function itself.

    Args:
        name: what it is called in `plait.ops`.
        function: computes on JAX arrays; its parameters carry Keras' names.
        elementwise: whether the shape of the result is that of its arguments, broadcast.
        reads_tensors: whether arguments named like tensors are made JAX arrays first; False for
            functions that take any structure, as loops do.
        settings: parameters that are no tensors though named like one.
    """
    reader = Reader(function, settings)

    @functools.wraps(function)
    def compute(*args: Any, **kwargs: Any) -> Any:
        if reads_tensors:
            args, kwargs = reader.concrete(args, kwargs)  # type: ignore[assignment]
        else:
            args, kwargs = unwrapped((args, kwargs))
        return function(*args, **kwargs)

    FUNCTIONS[name] = compute
    if elementwise:
        _ELEMENTWISE.add(name)

    @functools.wraps(function)
    def public(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic(*args, *kwargs.values()):
            if reads_tensors:
                args, kwargs = _checked(name, reader, reader.symbolic, args, kwargs)
            return Op(name)(*args, **kwargs)
        if current_scope() is not None:
            return compute(*args, **kwargs)
        return _checked(name, reader, lambda args, kwargs: compute(*args, **kwargs), args, kwargs)

    public.__name__ = public.__qualname__ = name.rpartition(".")[2]
    public.__module__ = "plait.ops"
    public.__doc__ = function.__doc__ or describe(public.__name__)
    public.__signature__ = reader.signature  # type: ignore[attr-defined]
    install_operation(name, public)
    return public


def _checked(name: str, reader: Reader, function: Any, args: Any, kwargs: Any) -> Any:
    """Return ``function(args, kwargs)``; errors name the operation and the user's line."""
    try:
        return function(args, kwargs)
    except (PlaitError, jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        if isinstance(error, PlaitError) and not error.located:
            raise error.at(_who(name)) from error
        raise
    except (TypeError, ValueError, IndexError) as error:
        try:
            reader.signature.bind(*args, **kwargs)
        except TypeError as mismatch:
            hints = (did_you_mean(key, reader.signature.parameters) for key in kwargs)
            raise ArgumentTypeError(
                f"{_who(name)}: {mismatch}.{next(filter(None, hints), '')}",
                fix=f"call it as ops.{name}{reader.signature}",
            ) from None
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        about_types = isinstance(error, TypeError) and "shape" not in first
        tensors = [leaf for leaf in tree.flatten((args, kwargs)) if hasattr(leaf, "shape")]
        wrapped = (ArgumentTypeError if about_types else ShapeError)(
            f"{_who(name)} cannot be applied to its input: {first}",
            details=input_details(tensors),
        )
        wrapped.located = True
        raise wrapped from error


def _who(name: str) -> str:
    location = user_location()
    return f"ops.{name} ({location})" if location else f"ops.{name}"


# -- what comes out -------------------------------------------------------------------------


def _broadcast_spec(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TensorSpec:
    values = [*args, *kwargs.values()]
    shapes = [shape_of(value) for value in values]
    shape = broadcast(shapes)
    if shape is None:
        shown = " and ".join(str(shape) for shape in shapes if shape)
        raise ShapeError(
            f"cannot combine {shown}: these shapes do not broadcast.",
            fix="make sizes equal, or 1 where they shall be repeated: ops.expand_dims(x, axis)",
        )
    return TensorSpec(
        shape,
        _elementwise_dtype(
            name, tuple(map(_scalar, args)), tuple((k, _scalar(v)) for k, v in kwargs.items())
        ),
    )


def _scalar(value: Any) -> Any:
    """Return what stands for a value when only dtypes matter."""
    if isinstance(value, list | tuple):
        value = np.asarray(value)
    if hasattr(value, "dtype"):
        return jax.ShapeDtypeStruct((), jax.dtypes.canonicalize_dtype(value.dtype))
    return value


@functools.lru_cache(4096)
def _elementwise_dtype(
    name: str, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
) -> str:
    def is_tensor(value: Any) -> bool:
        return isinstance(value, jax.ShapeDtypeStruct)

    def pure(tensors: list[Any]) -> Any:
        remaining = iter(tensors)
        read = [next(remaining) if is_tensor(value) else value for value in args]
        named = {k: next(remaining) if is_tensor(value) else value for k, value in kwargs}
        return FUNCTIONS[name](*read, **named)

    tensors = [value for value in (*args, *(value for _, value in kwargs)) if is_tensor(value)]
    return jax.eval_shape(pure, tensors).dtype.name


def _with_sizes_of_peers(args: Any, kwargs: Any) -> Any:
    """Return the arguments with unknown sizes set to the one size that other tensors have there.

    ``concatenate([(None, None, 4), (None, 10, 2)])`` can only be meant for ``(None, 10, 4)``.
    None if nothing is to be learned.
    """
    known: dict[tuple[int, int], set[int]] = {}
    for leaf in tree.flatten((args, kwargs)):
        if isinstance(leaf, SymbolicTensor | np.ndarray | jax.Array | Variable):
            for axis, size in enumerate(leaf.shape):
                if isinstance(size, int):
                    known.setdefault((len(leaf.shape), axis), set()).add(size)

    changed = False

    def refine(leaf: Any) -> Any:
        nonlocal changed
        if not isinstance(leaf, SymbolicTensor):
            return leaf
        sizes = [known.get((leaf.ndim, axis), set()) for axis in range(leaf.ndim)]
        shape = tuple(
            next(iter(peers)) if size is None and len(peers) == 1 else size
            for size, peers in zip(leaf.shape, sizes, strict=True)
        )
        changed = changed or shape != leaf.shape
        return SymbolicTensor(shape, leaf.dtype, leaf.name)

    refined = tree.map_structure(refine, (args, kwargs))
    return refined if changed else None
