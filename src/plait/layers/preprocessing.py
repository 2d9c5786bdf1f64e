"""Preprocessing that is part of the model: rescaling, and encoding categories."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.errors import ArgumentTypeError, ConfigError
from plait.graph.tensor import Shape
from plait.layers.arguments import whole_number


class Rescaling(Layer):
    """Compute ``inputs * scale + offset`` in floats.

    Args:
        scale: a number, or an array that broadcasts to the input.
        offset: a number, or an array that broadcasts to the input.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Rescaling(1 / 255)(np.array([0, 255], "uint8")).tolist()
        [0.0, 1.0]
    """

    input_spec = InputSpec()
    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        """Return the rescaled inputs."""
        inputs, scale, offset = (
            jnp.asarray(x, self.compute_dtype) for x in (inputs, self.scale, self.offset)
        )
        return inputs * scale + offset

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return input_shape


class CategoryEncoding(Layer):
    """Encode whole numbers below `num_tokens` as vectors of that size.

    Args:
        num_tokens: how many different numbers there are.
        output_mode: "one_hot": a vector for each number, a last axis of size 1 being replaced;
            "multi_hot" (default): one vector for each sample, 1 where its numbers are; "count":
            how often each occurs, weighted by `count_weights` if the call is given them.
        sparse: accepted for Keras' sake; must be False.

    Raises:
        ConfigError: `num_tokens` is no positive whole number, or another output mode.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.CategoryEncoding(4)(np.array([[0, 1], [3, 3]])).tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tokens = whole_number("CategoryEncoding", "num_tokens", num_tokens)
        if output_mode not in ("one_hot", "multi_hot", "count"):
            raise ConfigError(
                f"CategoryEncoding: there is no output_mode {output_mode!r}.",
                fix="one of 'one_hot', 'multi_hot', 'count'",
            )
        if sparse:
            raise ConfigError("CategoryEncoding: sparse=True is not supported.")
        self.output_mode, self.sparse = output_mode, sparse

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        """Return the encoded inputs."""
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentTypeError(
                f"takes no count_weights with output_mode='{self.output_mode}'.",
                fix="CategoryEncoding(..., output_mode='count')",
            )
        numbers = jnp.atleast_1d(inputs)
        if self.output_mode == "one_hot" and numbers.ndim > 1 and numbers.shape[-1] == 1:
            numbers = numbers[..., 0]
        encoded = jax.nn.one_hot(numbers, self.num_tokens, dtype=self.compute_dtype)
        if self.output_mode == "one_hot":
            return encoded
        if self.output_mode == "multi_hot":
            return encoded.max(-2)
        if count_weights is not None:
            encoded = encoded * jnp.asarray(count_weights, self.compute_dtype)[..., None]
        return encoded.sum(-2)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the encoded inputs."""
        kept = self.output_mode == "one_hot" and (len(input_shape) == 1 or input_shape[-1] != 1)
        return (*(input_shape if kept else input_shape[:-1]), self.num_tokens)
