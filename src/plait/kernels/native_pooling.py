"""Poolings natively, differentiable to any order.

Two primitives that are lowered to native kernels on the CPU:

- the maximum of every window, which returns as well the places of the maxima, if asked to;
- a linear pooling: the mean of every window or, with the places of maxima, the element there. It
  is its own derivative, and its transpose, from windows to elements, is the same primitive.

The derivative of the maximum is the linear pooling with its places; places do not vary. Arrays are
(batch, *sizes, channels); places that are not there have no elements.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad, mlir

from plait.kernels.native import native
from plait.kernels.primitive import Arrays, primitive

Sizes = tuple[int, ...]


class Geometry(NamedTuple):
    """How windows lie: per axis how many elements and windows, and how the window moves."""

    elements: Sizes
    windows: Sizes
    size: Sizes
    strides: Sizes
    before: Sizes
    after: Sizes


def largest(x: jax.Array, geometry: Geometry) -> jax.Array:
    """Return the maximum of every window; NaN wins."""
    maximum, _ = maximum_p.bind(x, geometry=geometry, places=False)
    return maximum


def mean(x: jax.Array, geometry: Geometry) -> jax.Array:
    """Return the mean of every window, over those elements that are not padding."""
    return linear_p.bind(x, jnp.zeros((0,), jnp.uint8), geometry=geometry, backward=False)


def pays(geometry: Geometry, channels: int) -> bool:
    """Return whether native kernels take such windows, and are faster than XLA there.

    A place in a window is a byte. Vectors are along the channels: of few, XLA is faster (measured,
    forward and backward, over 1 to 512 channels and windows of 2 to 256 elements).
    """
    rank = len(geometry.size)
    return (
        1 <= rank <= 3 and math.prod(geometry.size) <= 256 and channels >= (8 if rank == 2 else 16)
    )


def _maximum_abstract(x: Any, *, geometry: Geometry, places: bool) -> Any:
    shape = (x.shape[0], *geometry.windows, x.shape[-1])
    return [
        jax.core.ShapedArray(shape, x.dtype),
        jax.core.ShapedArray(shape if places else (0,), np.uint8),
    ]


def _linear_abstract(x: Any, places: Any, *, geometry: Geometry, backward: bool) -> Any:
    sizes = geometry.elements if backward else geometry.windows
    return jax.core.ShapedArray((x.shape[0], *sizes, x.shape[-1]), x.dtype)


def _maximum_jvp(primals: Arrays, tangents: Arrays, *, geometry: Geometry, places: bool) -> Any:
    maximum, found = maximum_p.bind(*primals, geometry=geometry, places=True)
    change = linear_p.bind(*tangents, found, geometry=geometry, backward=False)
    kept = found if places else jnp.zeros((0,), found.dtype)
    return [maximum, kept], [change, ad.Zero(jax.typeof(kept).to_tangent_aval())]


def _linear_jvp(change: Any, _x: Any, places: Any, **parameters: Any) -> Any:
    return linear_p.bind(change, places, **parameters)


def _linear_transpose(
    cotangent: Any, x: Any, places: Any, *, geometry: Geometry, backward: bool
) -> list[Any]:
    if isinstance(cotangent, ad.Zero):
        return [ad.Zero(x.aval), None]
    return [linear_p.bind(cotangent, places, geometry=geometry, backward=not backward), None]


def _maximum_batch(arrays: Arrays, axes: Arrays, **parameters: Any) -> Any:
    (x,), (axis,) = arrays, axes
    x = jnp.moveaxis(x, axis, 0)
    results = maximum_p.bind(_joined(x), **parameters)
    return [_apart(result, len(x)) for result in results], [0, 0]


def _linear_batch(arrays: Arrays, axes: Arrays, **parameters: Any) -> Any:
    count = next(
        array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None
    )
    x, places = (
        jnp.broadcast_to(array, (count, *array.shape))
        if axis is None
        else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(arrays, axes, strict=True)
    )
    return _apart(linear_p.bind(_joined(x), _joined(places), **parameters), count), 0


def _joined(array: jax.Array) -> jax.Array:
    """Make a mapped axis, which is the first, part of the batch."""
    return array.reshape(-1, *array.shape[2:])


def _apart(array: jax.Array, count: int) -> jax.Array:
    return array.reshape(count, array.shape[0] // count, *array.shape[1:])


def reference_maximum(x: Any, *, geometry: Geometry, places: bool) -> list[Any]:
    """Compute the same with XLA."""
    parts = iter(_parts(x, geometry, -np.inf))
    best = next(parts)
    place = jnp.zeros(best.shape, jnp.uint8)
    for index, other in enumerate(parts, 1):
        better = (other > best) | (other != other)
        best = jnp.where(better, other, best)
        place = jnp.where(better, jnp.uint8(index), place)
    return [best, place if places else jnp.zeros((0,), jnp.uint8)]


def reference_linear(x: Any, places: Any, *, geometry: Geometry, backward: bool) -> Any:
    """Compute the same with XLA."""

    def forward(x: Any) -> Any:
        parts = _parts(x, geometry, 0)
        if not places.size:
            inside = np.ones((1, *geometry.elements, 1), x.dtype)
            return sum(parts) / sum(_parts(inside, geometry, 0))
        return sum(jnp.where(places == index, part, 0) for index, part in enumerate(parts))

    if not backward:
        return forward(x)
    elements = jax.ShapeDtypeStruct((x.shape[0], *geometry.elements, x.shape[-1]), x.dtype)
    return jax.linear_transpose(forward, elements)(x)[0]


def _parts(x: Any, geometry: Geometry, padding: float) -> list[jax.Array]:
    """Return an array for each place in a window: its elements in all windows."""
    ends = [
        (count - 1) * stride + 1
        for count, stride in zip(geometry.windows, geometry.strides, strict=True)
    ]
    still = (0, 0, 0)
    pads = [(*ends, 0) for ends in zip(geometry.before, geometry.after, strict=True)]
    padded = lax.pad(x, np.asarray(padding, x.dtype), [still, *pads, still])
    return [
        lax.slice(
            padded,
            (0, *place, 0),
            (x.shape[0], *(p + end for p, end in zip(place, ends, strict=True)), x.shape[-1]),
            (1, *geometry.strides, 1),
        )
        for place in itertools.product(*map(range, geometry.size))
    ]


def _lower(name: str) -> Any:
    def rule(context: Any, *arrays: Any, geometry: Geometry, **parameters: Any) -> Any:
        native()  # tells XLA of the handler
        numbers = {
            field: np.asarray(getattr(geometry, field), np.int64)
            for field in ("size", "strides", "before")
        }
        if "backward" in parameters:
            numbers["backward"] = parameters["backward"]
        return jax.ffi.ffi_lowering(name)(context, *arrays, **numbers)

    return rule


maximum_p = primitive(
    "plait_max_pool",
    shaped=_maximum_abstract,
    reference=reference_maximum,
    batched=_maximum_batch,
    several=True,
)
ad.primitive_jvps[maximum_p] = _maximum_jvp
mlir.register_lowering(maximum_p, _lower("plait_onednn_max_pool"), platform="cpu")

linear_p = primitive(
    "plait_linear_pool", shaped=_linear_abstract, reference=reference_linear, batched=_linear_batch
)
ad.defjvp(linear_p, _linear_jvp, None)
ad.primitive_transposes[linear_p] = _linear_transpose
mlir.register_lowering(linear_p, _lower("plait_onednn_linear_pool"), platform="cpu")
