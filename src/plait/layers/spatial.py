"""Padding, cropping and upsampling of the axes between the batch and the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait.core.layer import Layer
from plait.errors import ConfigError, ShapeError
from plait.graph.tensor import Shape
from plait.layers.arguments import data_format as checked_format
from plait.layers.arguments import sizes
from plait.layers.spatial_layer import SpatialSpec

Pairs = tuple[tuple[int, int], ...]


class _Spatial(Layer):
    """A layer that changes the sizes of the spatial axes and moves data only."""

    keeps_integers = True
    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = checked_format(type(self).__name__, data_format)
        self.input_spec = SpatialSpec(self.rank, self.data_format)

    def _axes(self) -> range:
        first = 2 if self.data_format == "channels_first" else 1
        return range(first, first + self.rank)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape with the spatial sizes changed."""
        shape = list(input_shape)
        for index, axis in enumerate(self._axes()):
            size = shape[axis]
            if size is not None:
                shape[axis] = self._new_size(size, index, input_shape)
        return tuple(shape)

    def _new_size(self, size: int, index: int, input_shape: Shape) -> int:
        raise NotImplementedError


class _Padding(_Spatial):
    def __init__(self, padding: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.padding = _pairs(type(self).__name__, "padding", padding, self.rank)

    def call(self, inputs: Any) -> Any:
        """Return the inputs with zeros around them."""
        widths = dict(zip(self._axes(), _as_pairs(self.padding), strict=True))
        return jnp.pad(inputs, [widths.get(axis, (0, 0)) for axis in range(inputs.ndim)])

    def _new_size(self, size: int, index: int, input_shape: Shape) -> int:
        return size + sum(_as_pairs(self.padding)[index])


class ZeroPadding1D(_Padding):
    """Add zeros before and after the steps: ``(batch, steps, features)``.

    Args:
        padding: how many, on both sides or as ``(before, after)``.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ConfigError: `padding` is none of these.

    Example:
        >>> import plait
        >>> plait.layers.ZeroPadding1D(2)(plait.Input((5, 3))).shape
        (None, 9, 3)
    """

    rank = 1

    def __init__(
        self,
        padding: int | Sequence[int] = 1,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding2D(_Padding):
    """Add zeros around images: ``(batch, rows, columns, channels)``.

    Args:
        padding: a number for every side, ``(rows, columns)``, or
            ``((top, bottom), (left, right))``.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ConfigError: `padding` is none of these.

    Example:
        >>> import plait
        >>> plait.layers.ZeroPadding2D(((1, 0), (2, 2)))(plait.Input((5, 5, 3))).shape
        (None, 6, 9, 3)
    """

    rank = 2

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(_Padding):
    """Add zeros around volumes: ``(batch, depth, rows, columns, channels)``.

    Args:
        padding: a number for every side, one for each axis, or a pair (before, after) for each.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ConfigError: `padding` is none of these.

    Example:
        >>> import plait
        >>> plait.layers.ZeroPadding3D(1)(plait.Input((4, 5, 6, 3))).shape
        (None, 6, 7, 8, 3)
    """

    rank = 3

    def __init__(
        self,
        padding: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class _Cropping(_Spatial):
    def __init__(self, cropping: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.cropping = _pairs(type(self).__name__, "cropping", cropping, self.rank)

    def call(self, inputs: Any) -> Any:
        """Return the inputs without their edges."""
        known = tuple(size if isinstance(size, int) else None for size in inputs.shape)
        self.compute_output_shape(known)
        for axis, (before, after) in zip(self._axes(), _as_pairs(self.cropping), strict=True):
            inputs = jax.lax.slice_in_dim(inputs, before, inputs.shape[axis] - after, axis=axis)
        return inputs

    def _new_size(self, size: int, index: int, input_shape: Shape) -> int:
        cut = sum(_as_pairs(self.cropping)[index])
        if cut >= size:
            raise ShapeError(
                f"cannot cut {cut} off axis {self._axes()[index]} of {input_shape}: nothing is "
                "left.",
                fix=f"crop less than {size} on that axis",
            )
        return size - cut


class Cropping1D(_Cropping):
    """Cut steps off the beginning and the end: ``(batch, steps, features)``.

    Args:
        cropping: how many, on both sides or as ``(before, after)``.

    Raises:
        ConfigError: `cropping` is none of these.
        ShapeError: nothing would be left.

    Example:
        >>> import plait
        >>> plait.layers.Cropping1D((1, 2))(plait.Input((8, 3))).shape
        (None, 5, 3)
    """

    rank = 1

    def __init__(self, cropping: int | Sequence[int] = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, None, **kwargs)


class Cropping2D(_Cropping):
    """Cut the edges off images: ``(batch, rows, columns, channels)``.

    Args:
        cropping: a number for every side, ``(rows, columns)``, or
            ``((top, bottom), (left, right))``.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ConfigError: `cropping` is none of these.
        ShapeError: nothing would be left.

    Example:
        >>> import plait
        >>> plait.layers.Cropping2D(((1, 0), (2, 2)))(plait.Input((8, 8, 3))).shape
        (None, 7, 4, 3)
    """

    rank = 2

    def __init__(
        self,
        cropping: Any = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Cut the edges off volumes: ``(batch, depth, rows, columns, channels)``.

    Args:
        cropping: a number for every side, one for each axis, or a pair (before, after) for each.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ConfigError: `cropping` is none of these.
        ShapeError: nothing would be left.

    Example:
        >>> import plait
        >>> plait.layers.Cropping3D(1)(plait.Input((4, 5, 6, 3))).shape
        (None, 2, 3, 4, 3)
    """

    rank = 3

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class _UpSampling(_Spatial):
    def __init__(self, size: Any, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        factors = sizes(type(self).__name__, "size", size, self.rank)
        self.size = factors if self.rank > 1 else factors[0]

    def call(self, inputs: Any) -> Any:
        """Return the inputs with every step repeated."""
        for axis, factor in zip(self._axes(), self._factors(), strict=True):
            inputs = jnp.repeat(inputs, factor, axis=axis)
        return inputs

    def _factors(self) -> tuple[int, ...]:
        return self.size if isinstance(self.size, tuple) else (self.size,)

    def _new_size(self, size: int, index: int, input_shape: Shape) -> int:
        return size * self._factors()[index]


class UpSampling1D(_UpSampling):
    """Repeat every step: ``(batch, steps, features)``.

    Args:
        size: how often.

    Raises:
        ConfigError: `size` is no positive whole number.

    Example:
        >>> import plait
        >>> plait.layers.UpSampling1D(2)(plait.Input((5, 3))).shape
        (None, 10, 3)
    """

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, None, **kwargs)


_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class UpSampling2D(_UpSampling):
    """Enlarge images: ``(batch, rows, columns, channels)``.

    Args:
        size: the factor, or ``(rows, columns)``.
        data_format: "channels_last" (default) or "channels_first".
        interpolation: "nearest" repeats pixels; or "bilinear", "bicubic", "lanczos3", "lanczos5"
            (as in `jax.image.resize`).

    Raises:
        ConfigError: `size` or `interpolation` is none of these.

    Example:
        >>> import plait
        >>> plait.layers.UpSampling2D(2, interpolation="bilinear")(plait.Input((8, 8, 3))).shape
        (None, 16, 16, 3)
    """

    rank = 2

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in _INTERPOLATIONS:
            raise ConfigError(
                f"UpSampling2D: there is no interpolation {interpolation!r}.",
                fix=f"one of {', '.join(_INTERPOLATIONS)}",
            )

    def call(self, inputs: Any) -> Any:
        """Return the enlarged images."""
        if self.interpolation == "nearest":
            return super().call(inputs)
        factors = dict(zip(self._axes(), self._factors(), strict=True))
        shape = tuple(size * factors.get(axis, 1) for axis, size in enumerate(inputs.shape))
        return jax.image.resize(inputs, shape, self.interpolation, antialias=False).astype(
            inputs.dtype
        )


class UpSampling3D(_UpSampling):
    """Repeat every voxel of volumes: ``(batch, depth, rows, columns, channels)``.

    Args:
        size: how often, or one number for each axis.
        data_format: "channels_last" (default) or "channels_first".

    Raises:
        ConfigError: `size` is none of these.

    Example:
        >>> import plait
        >>> plait.layers.UpSampling3D(2)(plait.Input((2, 3, 4, 1))).shape
        (None, 4, 6, 8, 1)
    """

    rank = 3

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2, 2),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(size, data_format, **kwargs)


def _pairs(who: str, name: str, value: Any, rank: int) -> Any:
    """Return Keras' form: (before, after) for rank 1, else a pair for each axis."""
    if rank == 1:
        return sizes(who, name, value, 2, minimum=0)
    each = (value,) * rank if isinstance(value, int) else value
    if not isinstance(each, list | tuple) or len(each) != rank:
        raise ConfigError(
            f"{who}: {name} must be a number, or {rank} numbers or pairs; received {value!r}.",
            fix=f"{name}=1 or {name}={((1, 1),) * rank}",
        )
    return tuple(sizes(who, name, item, 2, minimum=0) for item in each)


def _as_pairs(value: Any) -> Pairs:
    return (value,) if isinstance(value[0], int) else value
