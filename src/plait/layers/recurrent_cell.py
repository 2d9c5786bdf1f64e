"""What the cells of recurrent layers share: weights, input projection, dropout.

A cell splits its work in two: `begin` does, for all time steps at once, what does not depend on
the state (it projects the inputs, reads the weights, draws dropout), and returns the function of
one step, which is all that a loop over time repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from plait import activations, constraints, initializers, regularizers
from plait.core import random
from plait.core.layer import Layer
from plait.errors import ConfigError
from plait.graph import tree
from plait.layers.arguments import whole_number

Step = Callable[[jax.Array, list[jax.Array]], list[jax.Array]]


class RecurrentCell(Layer):
    """Base of the cells whose inputs are projected by one kernel for all gates.

    A subclass sets `gates` and `state_count`, takes its arguments, and writes `begin`. The output
    of a step is the first of its new states.
    """

    gates: ClassVar[int] = 1
    state_count: ClassVar[int] = 1
    implementation: int = 2

    def __init__(
        self,
        *,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        who = type(self).__name__.removesuffix("Cell")
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= rate <= 1:
                raise ConfigError(f"{who}: {name} must be between 0 and 1, received {rate}.")
        self.units = whole_number(who, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout, self.recurrent_dropout, self.seed = dropout, recurrent_dropout, seed
        self.bias: Any = None

    @property
    def output_size(self) -> int:
        """The size of the output."""
        return self.units

    @property
    def state_size(self) -> int | list[int]:
        """The size of the state, or the sizes of the states."""
        return self.units if self.state_count == 1 else [self.units] * self.state_count

    def build(self, input_shape: Any) -> None:
        """Make kernel, recurrent_kernel and bias for inputs of shape (batch, features)."""
        width = self.gates * self.units
        self.kernel = self.add_weight(
            (input_shape[-1], width),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.recurrent_kernel = self.add_weight(
            (self.units, width),
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
            name="recurrent_kernel",
        )
        if self.use_bias:
            shape, initializer = self._bias()
            self.bias = self.add_weight(
                shape,
                initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _bias(self) -> tuple[tuple[int, ...], Any]:
        return (self.gates * self.units,), self.bias_initializer

    def begin(self, inputs: jax.Array, training: bool) -> tuple[jax.Array, Step]:
        """Return the projected inputs and the step ``(projected, states) -> new states``.

        Args:
            inputs: of shape (..., batch, features); leading axes are time.
            training: whether to drop.
        """
        raise NotImplementedError

    def over_time(
        self, inputs: jax.Array, states: Any, keep: Any, training: bool, reverse: bool
    ) -> tuple[jax.Array, list[jax.Array]] | None:
        """Return all outputs and the last states from a kernel; None: there is none, loop.

        Args:
            inputs: of shape (time, batch, features).
            states: the first states.
            keep: None, or (time, batch): False where a step keeps the state.
            training: whether to drop.
            reverse: whether to begin with the last step.
        """
        return None

    def call(self, inputs: jax.Array, states: Any, training: bool = False) -> tuple[jax.Array, Any]:
        """Return the output and the new states, nested as `states` is."""
        projected, step = self.begin(inputs, training)
        new_states = step(projected, tree.flatten(states))
        return new_states[0], tree.pack(states, new_states)

    def compute_output_shape(self, inputs_shape: Any, states_shape: Any) -> Any:
        """Return the shapes of the output and of the new states."""
        return (inputs_shape[0], self.units), states_shape

    def get_initial_state(self, batch_size: int | None = None) -> list[jax.Array]:
        """Return zeros of shape (batch_size, units), one for each state."""
        return [
            jnp.zeros((batch_size, self.units), self.compute_dtype)  # type: ignore[arg-type]
            for _ in range(self.state_count)
        ]

    def _project(self, inputs: jax.Array, training: bool) -> jax.Array:
        masks = self._dropout_masks(self.dropout, inputs.shape[-2:], training)
        projected = dropped_matmul(inputs, self.kernel.value, masks)
        if self.bias is None:
            return projected
        return projected + self.bias.value.reshape(-1, projected.shape[-1])[0]

    def _runs_whole(self, training: bool) -> bool:
        """Return whether a kernel for tanh and sigmoid can run over all steps."""
        each_gate = (self.implementation == 1 and self.dropout) or self.recurrent_dropout
        return (
            self.activation is activations.tanh
            and self.recurrent_activation is activations.sigmoid  # type: ignore[attr-defined]
            and not (training and each_gate)
        )

    def _dropped(self, inputs: jax.Array, training: bool) -> jax.Array:
        masks = self._dropout_masks(self.dropout, inputs.shape[-2:], training)
        return inputs * masks[0] if masks else inputs

    def _recurrent_masks(self, inputs: jax.Array, training: bool) -> list[jax.Array]:
        return self._dropout_masks(self.recurrent_dropout, (inputs.shape[-2], self.units), training)

    def _dropout_masks(self, rate: float, shape: Any, training: bool) -> list[jax.Array]:
        if not (training and rate):
            return []
        ones = jnp.ones(shape, self.compute_dtype)
        each_gate = self.implementation == 1 or self.recurrent_dropout
        count = self.gates if each_gate else 1
        return [random.dropout(ones, rate, seed=self.seed) for _ in range(count)]


def dropped_matmul(x: jax.Array, kernel: jax.Array, masks: list[jax.Array]) -> jax.Array:
    """Return ``x @ kernel``; with a mask for each gate, each gate sees its own dropped `x`."""
    if not masks:
        return x @ kernel
    parts = jnp.split(kernel, len(masks), axis=1)
    return jnp.concatenate(
        [(x * mask) @ part for mask, part in zip(masks, parts, strict=True)], axis=-1
    )
