"""Functions on tensors, with Keras 3's names: ``ops.matmul``, ``ops.softmax``, ``ops.where``.

Each takes arrays, NumPy arrays, numbers, nested lists, variables, tracers of `jax.jit` and
symbolic tensors. On symbolic tensors it adds to the graph that is being built; on the rest it is
the function of `jax.numpy`, `jax.nn` or `jax.lax`, which is where it is described.

    >>> from plait import Input, ops
    >>> ops.mean(Input((28, 28)), axis=-1).shape
    (None, 28)
    >>> ops.add([1, 2], 3).tolist()
    [4, 5]

`ops.numpy`, `ops.nn`, `ops.linalg` and `ops.image` hold the same functions by subject.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from plait.ops import (
    algebra,
    colors,
    control,
    creation,
    elementwise,
    images,
    indexing,
    neural,
    reductions,
    shaping,
    signal,
    windows,
)
from plait.ops.control import custom_gradient, jvp, vectorize
from plait.ops.operation import FUNCTIONS, Op, operation
from plait.ops.tensors import (
    convert_to_numpy,
    convert_to_tensor,
    dtype,
    is_tensor,
    ndim,
    shape,
    size,
)

_PLAIN = (
    convert_to_numpy,
    convert_to_tensor,
    custom_gradient,
    dtype,
    is_tensor,
    jvp,
    ndim,
    shape,
    size,
    vectorize,
)

_public: dict[str, Callable[..., Any]] = {function.__name__: function for function in _PLAIN}
for _name, _function in elementwise.TABLE.items():
    _public[_name] = operation(_name, _function, elementwise=True)
for _room in (reductions, creation, shaping, indexing, algebra, signal, neural, windows):
    for _name, _function in _room.TABLE.items():
        _public[_name] = operation(_name, _function)
_public["get_item"] = operation("get_item", indexing.get_item, settings=("key",))
for _room in (shaping, signal, control):
    for _name, _function in _room.STRUCTURED.items():
        _public[_name] = operation(_name, _function, reads_tensors=False)
globals().update(_public)

_image_table = {**colors.TABLE, **images.TABLE}
_image = {name: operation(f"image.{name}", f) for name, f in _image_table.items()}


def _namespace(name: str, functions: dict[str, Callable[..., Any]]) -> ModuleType:
    module = ModuleType(f"plait.ops.{name}", f"The functions of `plait.ops.{name}`, as in Keras.")
    module.__dict__.update(functions, __all__=sorted(functions))
    sys.modules[module.__name__] = module
    return module


def _chosen(*names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    return {name: _public[name] for group in names for name in group}


_of_networks = {
    *neural.TABLE,
    *windows.TABLE,
    *elementwise.ACTIVATIONS,
    *("depth_to_space", "multi_hot", "one_hot", "space_to_depth"),
}
nn = _namespace("nn", _chosen(_of_networks))
linalg = _namespace("linalg", _chosen(algebra.LINALG, ("jvp",)))
image = _namespace("image", _image)
numpy = _namespace(
    "numpy",
    _chosen(set(_public) - _of_networks - {*algebra.LINALG, *control.STRUCTURED, *signal.TABLE}),
)

__all__ = ["FUNCTIONS", "Op", "image", "linalg", "nn", "numpy", "operation", *sorted(_public)]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Callable[..., Any]:
    from plait.errors import did_you_mean

    raise AttributeError(f"plait.ops has no function {name!r}.{did_you_mean(name, _public)}")
