"""Initializers whose values do not depend on chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plait.errors import ConfigError, ShapeError
from plait.initializers.base import Initializer, numpy_dtype, working_dtype


class Constant(Initializer):
    """Fill with one value, or with the values of an array.

    Args:
        value: a number, or an array that broadcasts to the shape asked for.

    Raises:
        ShapeError: when called with a shape the array does not broadcast to.

    Example:
        >>> import plait
        >>> plait.initializers.Constant(3.0)((2,)).tolist()
        [3.0, 3.0]
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return an array filled with the value."""
        value = np.asarray(self.value).astype(numpy_dtype(dtype))
        try:
            return np.broadcast_to(value, tuple(shape)).copy()
        except ValueError as error:
            raise ShapeError(
                f"Constant holds an array of shape {value.shape}; "
                f"it cannot fill a variable of shape {tuple(shape)}.",
                fix=f"pass a number or an array of shape {tuple(shape)}",
            ) from error


class Zeros(Initializer):
    """Fill with zeros.

    Example:
        >>> import plait
        >>> plait.initializers.Zeros()((2,)).tolist()
        [0.0, 0.0]
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return an array of zeros."""
        return np.zeros(tuple(shape), numpy_dtype(dtype))


class Ones(Initializer):
    """Fill with ones.

    Example:
        >>> import plait
        >>> plait.initializers.Ones()((2,)).tolist()
        [1.0, 1.0]
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return an array of ones."""
        return np.ones(tuple(shape), numpy_dtype(dtype))


class Identity(Initializer):
    """Make `gain` times the identity matrix, padded with zeros where it is not square.

    Args:
        gain: the value on the diagonal.

    Raises:
        ShapeError: when called with a shape that is not of rank 2.

    Example:
        >>> import plait
        >>> plait.initializers.Identity(2.0)((2, 3)).tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return a matrix."""
        if len(shape) != 2:
            raise ShapeError(
                f"Identity makes matrices; it was asked for shape {tuple(shape)}.",
                fix="give a shape of rank 2, or use Orthogonal for higher ranks",
            )
        return (self.gain * np.eye(shape[0], shape[1])).astype(numpy_dtype(dtype))


class STFT(Initializer):
    """Make convolution kernels that compute one side of a short-time Fourier transform.

    Entry ``[t, 0, f]`` of a kernel ``(frame, 1, bins)`` is ``w[t] * cos(-2 pi t f / N)``, or
    ``sin`` for the imaginary side, with ``N = 2 (bins - 1)``. The window ``w`` is divided by its
    scale: ``sqrt(sum(w**2))`` for "density", ``sum(|w|)`` for "spectrum". Source: Keras 3.

    Args:
        side: "real" or "imag".
        window: the name of a window of `scipy.signal.get_window`, an array of `frame` values, or
            None for no window (and no scaling).
        scaling: "density", "spectrum" or None.
        periodic: whether a named window is periodic, as for spectral analysis, or symmetric.

    Raises:
        ConfigError: an unknown `side`, `window` or `scaling`.
        ShapeError: when called with a shape that is not ``(frame, 1, bins)``, or with another
            frame than the window has values.

    Example:
        >>> import plait
        >>> plait.initializers.STFT(window=None)((2, 1, 3)).round().tolist()
        [[[1.0, 1.0, 1.0]], [[1.0, -0.0, -1.0]]]
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ConfigError(f"STFT has no side {side!r}.", fix="side='real' or side='imag'")
        if scaling not in (None, "density", "spectrum"):
            raise ConfigError(
                f"STFT knows no scaling {scaling!r}.",
                fix="one of 'density', 'spectrum', None",
            )
        if isinstance(window, str):
            _named_window(window, 1, periodic)
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """Return kernels of shape ``(frame, 1, bins)``."""
        if len(shape) != 3 or shape[1] != 1:
            raise ShapeError(
                f"STFT makes kernels of shape (frame, 1, bins); it was asked for {tuple(shape)}."
            )
        frame, _, bins = shape
        result = numpy_dtype(dtype)
        working = working_dtype(result)
        frequency = np.arange(bins, dtype=working) / working.type(2 * (bins - 1))
        time = np.arange(frame, dtype=working)[:, None, None]
        # In this order the angles round as those of Keras do.
        angle = (working.type(-2) * time * frequency) * working.type(np.pi)
        kernel = np.cos(angle) if self.side == "real" else np.sin(angle)
        if self.window is not None:
            kernel = kernel * self._scaled_window(frame, working)[:, None, None]
        return kernel.astype(result)

    def _scaled_window(self, frame: int, dtype: np.dtype) -> np.ndarray:
        window = self.window
        if isinstance(window, str):
            window = _named_window(window, frame, self.periodic)
        window = np.asarray(window, dtype)
        if window.shape != (frame,):
            raise ShapeError(
                f"STFT has a window of shape {window.shape} for frames of {frame} values.",
                fix=f"pass a window of shape ({frame},)",
            )
        if self.scaling == "density":
            return window / np.sqrt(np.sum(window**2))
        if self.scaling == "spectrum":
            return window / np.sum(np.abs(window))
        return window


def _named_window(name: str, length: int, periodic: bool) -> np.ndarray:
    from scipy.signal import get_window

    try:
        return get_window(name, length, periodic)
    except ValueError as error:
        raise ConfigError(
            f"STFT knows no window {name!r}: {error}",
            fix="window='hann', another name from scipy.signal.windows, or an array",
        ) from error
