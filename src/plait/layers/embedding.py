"""Embeddings: a row of a table for each whole number."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from plait import constraints, initializers, regularizers
from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.graph.tensor import Shape
from plait.layers.arguments import whole_number


class Embedding(Layer):
    """Look up a trained vector for each whole number.

    Input: whole numbers of any shape (floats are cut to whole numbers); output: that shape with
    `output_dim` added. `fit`, `evaluate` and `predict` refuse arrays with a number outside ``0 ...
    input_dim - 1``. Elsewhere it gives NaN, and a negative one counts from the end, as in Keras on
    JAX.

    Args:
        input_dim: how many different numbers there are, the largest + 1.
        output_dim: the size of each vector.
        embeddings_initializer: of the table, ``(input_dim, output_dim)``.
        embeddings_regularizer: adds to the loss.
        embeddings_constraint: applied to the table after every update.
        mask_zero: whether 0 is padding, which later layers skip.
        weights: the table's first value, an array or a list of one array.
        input_length: the length of sequences, as in older code; the same as
            ``input_shape=(input_length,)``.

    Raises:
        ConfigError: a size is no positive whole number.

    Source: Keras 3, ``keras.layers.Embedding``.

    Example:
        >>> import numpy as np, plait
        >>> plait.layers.Embedding(100, 8)(np.array([[1, 2, 3]])).shape
        (1, 3, 8)
    """

    input_spec = InputSpec()

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        *,
        input_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        if input_length is not None:
            kwargs.setdefault("input_shape", (input_length,))
        super().__init__(**kwargs)
        self.input_dim = whole_number("Embedding", "input_dim", input_dim)
        self.output_dim = whole_number("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False  # a float16 input could not hold large numbers
        if weights is not None:
            self.build()
            self.set_weights(
                weights if isinstance(weights, list) and len(weights) == 1 else [weights]
            )

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the table."""
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            name="embeddings",
        )

    def call(self, inputs: Any) -> Any:
        """Return the rows of the table that `inputs` number."""
        if inputs.dtype not in (jnp.int32, jnp.int64):
            inputs = inputs.astype("int32")
        return jnp.take(self.embeddings.value, inputs, axis=0).astype(self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input with `output_dim` added."""
        return (*input_shape, self.output_dim)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return where the input is not 0, with `mask_zero`."""
        return inputs != 0 if self.mask_zero else None
