"""Masking by a value that stands for padding."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.graph.tensor import Shape


class Masking(Layer):
    """Mask the steps of a sequence in which every feature equals `mask_value`.

    Input ``(batch, steps, features)``. Masked steps become 0 and layers after it skip them.

    Args:
        mask_value: what padding is filled with.

    Source: Keras 3, ``keras.layers.Masking``.

    Example:
        >>> import numpy as np, plait
        >>> x = np.array([[[1.0, 2.0], [-1.0, -1.0]]])
        >>> plait.layers.Masking(-1.0)(x).tolist()
        [[[1.0, 2.0], [0.0, 0.0]]]
    """

    input_spec = InputSpec()
    keeps_integers = True
    supports_masking = True

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def call(self, inputs: Any) -> Any:
        """Return the inputs with masked steps set to 0."""
        kept = self.compute_mask(inputs)[..., None]
        return jnp.where(kept, inputs, jnp.zeros((), inputs.dtype))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return input_shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return which steps are data."""
        return jnp.any(inputs != self.mask_value, axis=-1)
