"""Fourier transforms. Complex tensors are pairs ``(real, imaginary)``, as in Keras."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.ops.arguments import Function, Table, array

Pair = tuple[jax.Array, jax.Array]

_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}


def _joined(x: Any) -> jax.Array:
    if not isinstance(x, list | tuple) or len(x) != 2:
        raise ArgumentTypeError("expects a pair of tensors.", fix="pass (real, imaginary)")
    real, imaginary = map(array, x)
    if real.shape != imaginary.shape:
        raise ShapeError(
            f"expects two parts of one shape, received {real.shape} and {imaginary.shape}."
        )
    if not all(jnp.issubdtype(part.dtype, jnp.floating) for part in (real, imaginary)):
        raise ArgumentTypeError(
            f"expects floats, received {real.dtype.name} and {imaginary.dtype.name}."
        )
    return lax.complex(real, imaginary)


def _pair(x: jax.Array) -> Pair:
    return jnp.real(x), jnp.imag(x)


def _transform(function: Function) -> Function:
    return lambda x: _pair(function(_joined(x)))


def _frames(x: jax.Array, sequence_length: int, sequence_stride: int) -> jax.Array:
    """Return the windows of the last axis, those that fit whole."""
    if sequence_length > x.shape[-1]:
        raise ShapeError(f"cannot cut sequences of {sequence_length} from {x.shape}.")
    starts = np.arange(0, x.shape[-1] - sequence_length + 1, sequence_stride)
    return x[..., starts[:, None] + np.arange(sequence_length)]


def _window(window: Any, length: int, fft_length: int, dtype: Any) -> jax.Array:
    """Return a window of `length`, periodic if given by name, in the middle of `fft_length`."""
    if isinstance(window, str):
        if window not in _COSINES:
            raise ConfigError(f"has no window {window!r}.", fix="'hann', 'hamming' or an array")
        base, swing = _COSINES[window]
        window = base - swing * np.cos(2 * np.pi * np.arange(length) / length)
    left = (fft_length - length) // 2
    if window is None:
        return jnp.ones(fft_length, dtype)
    values = jnp.asarray(window, dtype)
    if values.shape != (length,):
        raise ShapeError(f"expects a window of ({length},), received {values.shape}.")
    return jnp.pad(values, (left, fft_length - length - left))


def _stft(
    x: jax.Array,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Pair:
    """Return the spectrum of each windowed sequence: ``(..., sequences, fft_length // 2 + 1)``."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ArgumentTypeError(f"expects floats, received {x.dtype.name}.")
    if fft_length < sequence_length:
        raise ConfigError(
            f"needs fft_length of at least sequence_length {sequence_length}, "
            f"received {fft_length}."
        )
    if center:
        half = fft_length // 2
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)], mode="reflect")
    shape = _window(window, sequence_length, fft_length, x.dtype)
    return _pair(jnp.fft.rfft(_frames(x, fft_length, sequence_stride) * shape))


def _istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> jax.Array:
    """Return the signal whose spectra these are: windowed, overlapped, and added.

    Source: Griffin & Lim 1984; each sample is divided by the sum of the squared windows over it.
    """
    spectra = _joined(x)
    if spectra.ndim < 2:
        raise ShapeError(f"expects spectra of at least 2 axes, received {spectra.shape}.")
    shape = _window(window, sequence_length, fft_length, jnp.real(spectra).dtype)
    frames = jnp.fft.irfft(spectra, fft_length) * shape
    count = frames.shape[-2]
    total = fft_length + sequence_stride * (count - 1)
    places = np.arange(count)[:, None] * sequence_stride + np.arange(fft_length)
    signal = jnp.zeros((*frames.shape[:-2], total), frames.dtype).at[..., places].add(frames)
    weight = jnp.zeros(total, frames.dtype).at[places].add(jnp.square(shape))
    signal = signal / jnp.where(weight > 1e-10, weight, 1.0)
    start = fft_length // 2 if center else 0
    stop = start + length if length is not None else total - start
    return signal[..., start:stop]


TABLE: Table = {
    "extract_sequences": lambda x, sequence_length, sequence_stride: _frames(
        x, sequence_length, sequence_stride
    ),
    "rfft": lambda x, fft_length=None: _pair(jnp.fft.rfft(x, fft_length)),
    "stft": _stft,
}

STRUCTURED: Table = {
    **{name: _transform(getattr(jnp.fft, name)) for name in ("fft", "fft2", "ifft2")},
    "irfft": lambda x, fft_length=None: jnp.fft.irfft(_joined(x), fft_length),
    "istft": _istft,
}
