"""Recurrent cells: one step over time of a simple RNN, a GRU and an LSTM."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from plait import activations, kernels
from plait.layers.recurrent_cell import RecurrentCell, Step, dropped_matmul


class SimpleRNNCell(RecurrentCell):
    """Compute one step of `SimpleRNN`: ``activation(x @ kernel + bias + h @ recurrent_kernel)``.

    Called as ``cell(inputs, states)`` with shapes (batch, features) and ``[(batch, units)]``, it
    returns the output (batch, units) and the new states.

    Args:
        units: the size of the output and of the state.
        activation: a name or function; None is linear.
        use_bias: whether to add a bias.
        kernel_initializer: for kernel (features, units).
        recurrent_initializer: for recurrent_kernel (units, units).
        bias_initializer: for bias (units,).
        kernel_regularizer: adds to the loss; likewise for the other weights.
        recurrent_regularizer: see kernel_regularizer.
        bias_regularizer: see kernel_regularizer.
        kernel_constraint: applied after every update; likewise for the other weights.
        recurrent_constraint: see kernel_constraint.
        bias_constraint: see kernel_constraint.
        dropout: the share of input features dropped in training, the same at every time step.
        recurrent_dropout: the share of the state dropped in training, likewise.
        seed: for dropout.

    Raises:
        ConfigError: units is not positive, or a rate is not between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import layers
        >>> output, states = layers.SimpleRNNCell(4)(jnp.ones((2, 3)), [jnp.zeros((2, 4))])
        >>> output.shape
        (2, 4)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units=units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **kwargs,
        )

    def begin(self, inputs: jax.Array, training: bool) -> tuple[jax.Array, Step]:
        """Return the projected inputs and the step; see `RecurrentCell.begin`."""
        recurrent, masks = self.recurrent_kernel.value, self._recurrent_masks(inputs, training)

        def step(projected: jax.Array, states: list[jax.Array]) -> list[jax.Array]:
            return [self.activation(projected + dropped_matmul(states[0], recurrent, masks))]

        return self._project(inputs, training), step


class GRUCell(RecurrentCell):
    """Compute one step of `GRU`.

    With update gate z, reset gate r and candidate g (Cho et al. 2014; the order of the reset gate
    as in Keras)::

        z, r = recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)
        g = activation(x @ kernel + r * (h @ recurrent_kernel) + bias)    # reset_after
        g = activation(x @ kernel + (r * h) @ recurrent_kernel + bias)    # otherwise
        h = z * h + (1 - z) * g

    Called as ``cell(inputs, states)`` with shapes (batch, features) and ``[(batch, units)]``, it
    returns the output (batch, units) and the new states. The columns of the kernels are those of
    z, r and g.

    Args:
        units: the size of the output and of the state.
        activation: a name or function; None is linear.
        recurrent_activation: that of the gates.
        use_bias: whether to add biases.
        kernel_initializer: for kernel (features, 3 * units).
        recurrent_initializer: for recurrent_kernel (units, 3 * units).
        bias_initializer: for bias (2, 3 * units), or (3 * units,) without reset_after.
        kernel_regularizer: adds to the loss; likewise for the other weights.
        recurrent_regularizer: see kernel_regularizer.
        bias_regularizer: see kernel_regularizer.
        kernel_constraint: applied after every update; likewise for the other weights.
        recurrent_constraint: see kernel_constraint.
        bias_constraint: see kernel_constraint.
        dropout: the share of input features dropped in training, the same at every time step.
        recurrent_dropout: the share of the state dropped in training, likewise; each gate then
            drops on its own.
        reset_after: whether the reset gate comes after the recurrent kernel, as in cuDNN.
        seed: for dropout.
        implementation: 1 lets each gate drop input features on its own.

    Raises:
        ConfigError: units is not positive, or a rate is not between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import layers
        >>> output, states = layers.GRUCell(4)(jnp.ones((2, 3)), [jnp.zeros((2, 4))])
        >>> output.shape
        (2, 4)
    """

    gates: ClassVar[int] = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        implementation: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units=units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.implementation = implementation
        self.reset_after = reset_after

    def _bias(self) -> tuple[tuple[int, ...], Any]:
        width = self.gates * self.units
        return ((2, width) if self.reset_after else (width,)), self.bias_initializer

    def begin(self, inputs: jax.Array, training: bool) -> tuple[jax.Array, Step]:
        """Return the projected inputs and the step; see `RecurrentCell.begin`."""
        recurrent, masks = self.recurrent_kernel.value, self._recurrent_masks(inputs, training)
        activation, gate = self.activation, self.recurrent_activation
        units, reset_after = self.units, self.reset_after
        inner_width = (3 if reset_after else 2) * units
        inner_masks = masks if reset_after else masks[:2]
        bias = self.bias.value[1] if reset_after and self.bias is not None else None

        def step(projected: jax.Array, states: list[jax.Array]) -> list[jax.Array]:
            h = states[0]
            x_z, x_r, x_g = jnp.split(projected, 3, axis=-1)
            inner = dropped_matmul(h, recurrent[:, :inner_width], inner_masks)
            if bias is not None:
                inner = inner + bias
            z = gate(x_z + inner[:, :units])
            r = gate(x_r + inner[:, units : 2 * units])
            if reset_after:
                recurrent_g = r * inner[:, 2 * units :]
            else:
                recurrent_g = dropped_matmul(r * h, recurrent[:, 2 * units :], masks[2:])
            return [z * h + (1 - z) * activation(x_g + recurrent_g)]

        return self._project(inputs, training), step

    def over_time(
        self, inputs: jax.Array, states: Any, keep: Any, training: bool, reverse: bool
    ) -> tuple[jax.Array, list[jax.Array]] | None:
        """Run the kernel if the cell is the usual one; see `RecurrentCell.over_time`."""
        usual = type(self).begin is GRUCell.begin and self.reset_after
        if not (usual and self._runs_whole(training)):
            return None
        outputs, last = kernels.gru(
            self._dropped(inputs, training),
            self.kernel.value,
            self.recurrent_kernel.value,
            None if self.bias is None else self.bias.value,
            states[0],
            keep,
            reverse,
        )
        return outputs, [last]


class LSTMCell(RecurrentCell):
    """Compute one step of `LSTM`.

    With input, forget and output gates i, f, o, candidate g and carry c (Hochreiter & Schmidhuber
    1997; the forget gate of Gers et al. 2000)::

        i, f, o = recurrent_activation(x @ kernel + h @ recurrent_kernel + bias)
        g = activation(x @ kernel + h @ recurrent_kernel + bias)
        c = f * c + i * g
        h = o * activation(c)

    Called as ``cell(inputs, states)`` with shapes (batch, features) and two times (batch, units),
    ``[h, c]``, it returns the output (batch, units) and the new states. The columns of the kernels
    are those of i, f, g and o.

    Args:
        units: the size of the output and of each state.
        activation: a name or function; None is linear.
        recurrent_activation: that of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: for kernel (features, 4 * units).
        recurrent_initializer: for recurrent_kernel (units, 4 * units).
        bias_initializer: for bias (4 * units,).
        unit_forget_bias: whether the bias of the forget gate begins at 1 (Jozefowicz et al. 2015).
        kernel_regularizer: adds to the loss; likewise for the other weights.
        recurrent_regularizer: see kernel_regularizer.
        bias_regularizer: see kernel_regularizer.
        kernel_constraint: applied after every update; likewise for the other weights.
        recurrent_constraint: see kernel_constraint.
        bias_constraint: see kernel_constraint.
        dropout: the share of input features dropped in training, the same at every time step.
        recurrent_dropout: the share of the state dropped in training, likewise; each gate then
            drops on its own.
        seed: for dropout.
        implementation: 1 lets each gate drop input features on its own.

    Raises:
        ConfigError: units is not positive, or a rate is not between 0 and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import layers
        >>> zeros = jnp.zeros((2, 4))
        >>> output, states = layers.LSTMCell(4)(jnp.ones((2, 3)), [zeros, zeros])
        >>> output.shape, len(states)
        ((2, 4), 2)
    """

    gates: ClassVar[int] = 4
    state_count: ClassVar[int] = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        implementation: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units=units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.implementation = implementation
        self.unit_forget_bias = unit_forget_bias

    def _bias(self) -> tuple[tuple[int, ...], Any]:
        def initializer(shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
            rest: Any = self.bias_initializer
            ones = np.ones((self.units,), dtype)
            parts = [rest((self.units,), dtype), ones, rest((2 * self.units,), dtype)]
            return np.concatenate([np.asarray(part) for part in parts])

        shape, plain = super()._bias()
        return shape, initializer if self.unit_forget_bias else plain

    def begin(self, inputs: jax.Array, training: bool) -> tuple[jax.Array, Step]:
        """Return the projected inputs and the step; see `RecurrentCell.begin`."""
        recurrent, masks = self.recurrent_kernel.value, self._recurrent_masks(inputs, training)
        activation, gate = self.activation, self.recurrent_activation

        def step(projected: jax.Array, states: list[jax.Array]) -> list[jax.Array]:
            h, c = states
            i, f, g, o = jnp.split(projected + dropped_matmul(h, recurrent, masks), 4, axis=-1)
            c = gate(f) * c + gate(i) * activation(g)
            return [gate(o) * activation(c), c]

        return self._project(inputs, training), step

    def over_time(
        self, inputs: jax.Array, states: Any, keep: Any, training: bool, reverse: bool
    ) -> tuple[jax.Array, list[jax.Array]] | None:
        """Run the kernel if the cell is the usual one; see `RecurrentCell.over_time`."""
        if not (type(self).begin is LSTMCell.begin and self._runs_whole(training)):
            return None
        outputs, last = kernels.lstm(
            self._dropped(inputs, training),
            self.kernel.value,
            self.recurrent_kernel.value,
            None if self.bias is None else self.bias.value,
            tuple(states),
            keep,
            reverse,
        )
        return outputs, [*last]
