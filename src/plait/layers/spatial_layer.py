"""What layers share that work on the axes between batch and channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.errors import ConfigError, ShapeError, did_you_mean
from plait.graph.tensor import Shape
from plait.layers import arguments

_CHANNEL_COUNTS = (1, 3, 4)


class SpatialLayer(Layer):
    """Base of layers on ``(batch, *sizes, channels)`` or ``(batch, channels, *sizes)``.

    Args:
        data_format: "channels_last" or "channels_first"; default: "channels_last".
        **kwargs: those of `Layer`.
    """

    rank: ClassVar[int]

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.data_format(type(self).__name__, data_format)
        self.input_spec = SpatialSpec(self.rank, self.data_format)

    # -- shapes -----------------------------------------------------------------------------

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    @property
    def _size_axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def _sizes(self, shape: Sequence[int | None]) -> Shape:
        if len(shape) != self.rank + 2:
            raise ShapeError(
                f"expects {self.rank + 2} axes, received {len(shape)}: {tuple(shape)}.",
                fix=SpatialSpec(self.rank, self.data_format).advice(tuple(shape)),
            )
        return tuple(shape[axis] for axis in self._size_axes)

    def _shape(self, batch: int | None, sizes: Iterable[int | None], channels: int | None) -> Shape:
        if self.data_format == "channels_last":
            return (batch, *sizes, channels)
        return (batch, channels, *sizes)

    def _known_channels(self, shape: Sequence[int | None]) -> int:
        """Return the number of channels, and accept no other from now on."""
        self._sizes(shape)
        channels = shape[self._channel_axis]
        if channels is None:
            raise ShapeError(
                f"cannot make its kernel: axis {self._channel_axis} of its input, the channels, "
                f"has no known size: {tuple(shape)}.",
                fix="give that size in Input(shape=...)",
            )
        self.input_spec = SpatialSpec(self.rank, self.data_format, channels)
        return channels

    def _floating(self, x: jax.Array) -> jax.Array:
        """Return `x`, integers in the compute dtype."""
        return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(self.compute_dtype)

    # -- arguments --------------------------------------------------------------------------

    def _per_axis(self, value: Any, argument: str, minimum: int = 1) -> tuple[int, ...]:
        return arguments.sizes(type(self).__name__, argument, value, self.rank, minimum)

    def _padding(self, value: Any, names: Sequence[str]) -> str:
        name = value.lower() if isinstance(value, str) else ""
        if name not in names:
            raise ConfigError(
                f"{type(self).__name__}: padding cannot be {value!r}.{did_you_mean(name, names)}",
                fix="padding=" + " or ".join(repr(known) for known in names),
            )
        return name


class SpatialSpec(InputSpec):
    """A batch of arrays with `rank` sizes and a channel axis; says what to do about other ones."""

    def __init__(self, rank: int, data_format: str, channels: int | None = None) -> None:
        self._last = data_format == "channels_last"
        self._rank, self._channels = rank, channels
        super().__init__(ndim=rank + 2, axes={-1 if self._last else 1: channels})

    def advice(self, shape: Shape) -> str | None:
        """Return how to make the axes that are expected of those of `shape`."""
        rank, missing = self._rank, self._rank + 2 - len(shape)
        if missing == 0:
            return f"give it {self._channels} channels"
        if missing == 1:
            if shape[0] is not None and shape[-1 if self._last else 0] in _CHANNEL_COUNTS:
                return "add the batch axis: x[None]"
            if None in shape[1:]:
                return f"add the channel axis: ops.expand_dims(x, {-1 if self._last else 1})"
            sizes = (*shape[1:], 1) if self._last else (1, *shape[1:])
            return f"add the channel axis: layers.Reshape({sizes})(x)"
        if missing == -1:
            return "apply it to every step: layers.TimeDistributed(layer)(x)"
        axes = ("length", "height, width", "depth, height, width")[rank - 1]
        wanted = f"{axes}, channels" if self._last else f"channels, {axes}"
        return f"give it (batch, {wanted}): layers.Reshape(({wanted}))(x)"
