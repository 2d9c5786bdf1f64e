"""Infer the shapes and dtypes of a layer's outputs without computing anything.

A layer's own `compute_output_shape` is asked first. Otherwise `call` is traced on abstract
values, with JAX's symbolic dimensions for sizes that are not known; where these cannot decide
(``5 * d >= 7``?), it is traced for two concrete sizes, and what differs is not known.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from plait.core.scope import Scope
from plait.core.spec import TensorSpec, is_shape, shapes_of
from plait.core.variable import Variable
from plait.errors import PlaitError, ShapeError
from plait.graph import tree
from plait.graph.tensor import Shape, SymbolicTensor

if TYPE_CHECKING:
    from plait.core.layer import Layer

# two sizes to stand for one that is not known, and two that even more numbers divide
_SIZES = ((24, 48), (5040, 10080))


def infer(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return nested `TensorSpec`s of what the layer returns for these arguments."""
    from plait.core.layer import Layer

    cls = type(layer)
    own_spec = getattr(cls, "compute_output_spec", None)
    if own_spec is not None:
        return own_spec(layer, *args, **kwargs)
    if cls.compute_output_shape is not Layer.compute_output_shape:
        shapes = _asked_shapes(layer, args, kwargs)
        return _specs(shapes, _output_dtype(layer, args, kwargs))
    return abstract_call(layer, args, kwargs)


def _asked_shapes(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    parameters = type(layer)._shape_parameters
    if len(parameters) == 1:
        first = args[0] if args else next(iter(kwargs.values()))
        return layer.compute_output_shape(shapes_of(first))
    given = type(layer)._call_signature.bind_partial(*args, **kwargs).arguments
    shapes = {
        name: shapes_of(given[name.removesuffix("_shape")])
        for name in parameters
        if given.get(name.removesuffix("_shape")) is not None
    }
    return layer.compute_output_shape(**shapes)


def _output_dtype(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if layer.keeps_integers:
        dtypes = [leaf.dtype for leaf in tree.flatten((args, kwargs)) if hasattr(leaf, "dtype")]
        if dtypes and not any(jax.numpy.issubdtype(dtype, np.floating) for dtype in dtypes):
            return jax.numpy.dtype(dtypes[0]).name
    return layer.compute_dtype


def _specs(shapes: Any, dtype: str) -> Any:
    if shapes is None:
        return None
    if is_shape(shapes):
        return TensorSpec(tuple(shapes), dtype)
    if isinstance(shapes, Mapping):
        return {key: _specs(item, dtype) for key, item in shapes.items()}
    return type(shapes)(_specs(item, dtype) for item in shapes)


def abstract_call(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Trace `call` on abstract values; layers within that are not built get built."""
    leaves = [leaf for leaf in tree.flatten((args, kwargs)) if _is_tensor(leaf)]
    if all(None not in _shape(leaf) for leaf in leaves):
        return _traced(layer, args, kwargs, lambda axis: 0)
    try:
        return _traced(layer, args, kwargs, _dimension)
    except PlaitError:
        raise
    except Exception:
        return _for_two_sizes(layer, args, kwargs)


def _for_two_sizes(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    for sizes in _SIZES:
        try:
            return _merge(
                *(_traced(layer, args, kwargs, lambda _, size=size: size) for size in sizes)
            )
        except PlaitError:
            raise
        except Exception as error:
            failure, tried = error, str(sizes[0])
    message = (str(failure).strip() or type(failure).__name__).splitlines()[0]
    if isinstance(failure, jax.errors.JAXTypeError) or tried not in message:
        raise failure
    message = re.sub(r" \(size \d+\)| because the product.*", "", message)
    message = re.sub(rf"\b{tried}\b", "None", message)
    unknown = any(
        None in _shape(leaf)[1:] for leaf in tree.flatten((args, kwargs)) if _is_tensor(leaf)
    )
    give = "give the sizes that are None in Input(shape=...)" if unknown else None
    raise ShapeError(
        f"cannot be applied to its input: {message}", fix=layer.call_advice or give
    ) from failure


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, SymbolicTensor | np.ndarray | np.generic | jax.Array | Variable)


def _shape(leaf: Any) -> Shape:
    return tuple(size if isinstance(size, int) else None for size in leaf.shape)


def _traced(layer: Layer, args: Any, kwargs: Any, unknown: Any) -> Any:
    from plait.core.calling import run_call

    structs = []

    def abstract(leaf: Any) -> Any:
        if not _is_tensor(leaf):
            return leaf
        shape = tuple(
            unknown(axis) if size is None else size for axis, size in enumerate(_shape(leaf))
        )
        structs.append(jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(leaf.dtype)))
        return _TENSOR

    template = tree.map_structure(abstract, (args, kwargs))

    def pure(tensors: list[Any]) -> Any:
        remaining = iter(tensors)
        call_args, call_kwargs = tree.map_structure(
            lambda leaf: next(remaining) if leaf is _TENSOR else leaf, template
        )
        with Scope(rng=jax.random.key(0), abstract=True):
            return run_call(layer, call_args, call_kwargs)

    outputs = jax.eval_shape(pure, structs)
    return tree.map_structure(
        lambda out: None if out is None else TensorSpec(_shape(out), out.dtype.name), outputs
    )


_TENSOR = object()


@functools.cache
def _symbols() -> Any:
    from jax import export

    return export.SymbolicScope()


@functools.cache
def _dimension(axis: int) -> Any:
    """Return the symbol for an unknown size: one for the batch, one for every other axis."""
    from jax import export

    name = f"d{axis}" if axis else "b"
    return export.symbolic_shape(name, scope=_symbols())[0]


def _merge(small: Any, large: Any) -> Any:
    if small is None:
        return None
    if isinstance(small, TensorSpec):
        shape = tuple(a if a == b else None for a, b in zip(small.shape, large.shape, strict=True))
        return TensorSpec(shape, small.dtype)
    if isinstance(small, Mapping):
        return {key: _merge(item, large[key]) for key, item in small.items()}
    return type(small)(_merge(a, b) for a, b in zip(small, large, strict=True))
