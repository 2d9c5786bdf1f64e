"""Gaussian noise in training, and penalties on activity."""

from __future__ import annotations

import math
from typing import Any

import jax

from plait import regularizers
from plait.core import random
from plait.core.layer import Layer
from plait.errors import ConfigError
from plait.graph.tensor import Shape
from plait.layers.dropout import Dropping, Noise, Seed, check_rate


class GaussianDropout(Dropping):
    """Multiply with noise of mean 1 and deviation ``sqrt(rate / (1 - rate))`` in training.

    Source: Srivastava et al. 2014, section 10.

    Args:
        rate: the rate of the Dropout with the same variance, from 0 to below 1.
        seed: makes the draws those of this seed.

    Raises:
        ConfigError: `rate` is not from 0 to below 1.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.layers.GaussianDropout(0.5)(np.ones((1, 3))).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, rate: float, seed: Seed = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate("GaussianDropout", rate)
        if self.rate == 1:
            raise ConfigError(
                "GaussianDropout: rate must be below 1; at 1 the noise has no finite deviation.",
                fix="rate=0.5",
            )
        self.seed = seed

    def _noisy(self, inputs: jax.Array) -> jax.Array:
        deviation = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * random.normal(inputs.shape, 1.0, deviation, inputs.dtype, self.seed)


class GaussianNoise(Noise):
    """Add noise of mean 0 in training.

    Args:
        stddev: its standard deviation, from 0 to 1.
        seed: makes the draws those of this seed.

    Raises:
        ConfigError: `stddev` is not from 0 to 1.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> plait.layers.GaussianNoise(0.5)(np.ones((1, 3))).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, stddev: float, seed: Seed = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = check_rate("GaussianNoise", stddev, "stddev")
        self.seed = seed

    def _is_active(self) -> bool:
        return self.stddev > 0

    def _noisy(self, inputs: jax.Array) -> jax.Array:
        return inputs + random.normal(inputs.shape, 0.0, self.stddev, inputs.dtype, self.seed)


class ActivityRegularization(Layer):
    """Add ``l1 * sum(|x|) + l2 * sum(x**2)``, over the batch size, to the loss; hand x on.

    Args:
        l1: the factor of the absolute values.
        l2: the factor of the squares.

    Raises:
        ConfigError: a factor that is not a finite number of at least 0.

    Example:
        >>> import numpy as np
        >>> import plait
        >>> layer = plait.layers.ActivityRegularization(l1=0.5)
        >>> layer(np.array([[1.0, -1.0], [2.0, 0.0]])).tolist()
        [[1.0, -1.0], [2.0, 0.0]]
        >>> [float(loss) for loss in layer.losses]
        [1.0]
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return input_shape
