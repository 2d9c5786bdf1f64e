"""The recurrent layers: LSTM, GRU and SimpleRNN."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from plait.core.spec import InputSpec
from plait.errors import ConfigError
from plait.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from plait.layers.recurrent import RNN
from plait.layers.recurrent_cell import RecurrentCell

L = TypeVar("L", bound=type[RNN])


def _shows(cell_class: type[RecurrentCell]) -> Callable[[L], L]:
    """Let a layer show, and set, the arguments of its cell as its own attributes."""

    def show(layer_class: L) -> L:
        own = inspect.signature(layer_class.__init__).parameters
        for name in inspect.signature(cell_class.__init__).parameters:
            if name in own and name not in ("self", "kwargs"):
                setattr(layer_class, name, _of_cell(name))
        return layer_class

    return show


def _of_cell(name: str) -> property:
    def get(layer: RNN) -> Any:
        return getattr(layer.cell, name)

    def put(layer: RNN, value: Any) -> None:
        setattr(layer.cell, name, value)

    return property(get, put, doc=f"The {name} of the cell.")


def _check_cudnn(who: str, use_cudnn: Any) -> None:
    if use_cudnn not in (True, False, "auto"):
        raise ConfigError(
            f'{who}: use_cudnn is True, False or "auto"; received {use_cudnn!r}.',
            fix="leave it out: XLA compiles the loop on every device",
        )


@_shows(LSTMCell)
class LSTM(RNN):
    """Run a long short-term memory over the time steps of sequences.

    The formulas are in `LSTMCell` (Hochreiter & Schmidhuber 1997; Gers et al. 2000). For
    inputs of shape (batch, time, features) it returns the last output (batch, units), or with
    `return_sequences` all of them (batch, time, units); with `return_state` a tuple of that and
    the last states h and c. See `RNN` for calls, initial states and masks.

    Args:
        units: the size of the output and of each state.
        activation: a name or function; None is linear.
        recurrent_activation: that of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: for kernel (features, 4 * units).
        recurrent_initializer: for recurrent_kernel (units, 4 * units).
        bias_initializer: for bias (4 * units,).
        unit_forget_bias: whether the bias of the forget gate begins at 1.
        kernel_regularizer: adds to the loss; likewise for the other weights.
        recurrent_regularizer: see kernel_regularizer.
        bias_regularizer: see kernel_regularizer.
        activity_regularizer: a function of the output, added to the loss.
        kernel_constraint: applied after every update; likewise for the other weights.
        recurrent_constraint: see kernel_constraint.
        bias_constraint: see kernel_constraint.
        dropout: the share of input features dropped in training, the same at every time step.
        recurrent_dropout: the share of the state dropped in training, likewise.
        seed: for dropout.
        return_sequences: whether to return the output of every step.
        return_state: whether to return the last states as well.
        go_backwards: whether to begin with the last step; outputs come in the order of running.
        stateful: whether the states of one batch begin the next; `reset_state()` sets 0.
        unroll: whether to write the steps out instead of looping.
        use_cudnn: accepted for Keras' sake; XLA compiles the loop on every device.
        implementation: 1 lets each gate drop input features on its own.
        zero_output_for_mask: whether a masked step's output is 0 instead of the one before.

    Raises:
        ConfigError: units is not positive, or a rate is not between 0 and 1.
        ShapeError: see `RNN`.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import layers
        >>> x = jnp.ones((2, 10, 8))
        >>> layers.LSTM(4)(x).shape
        (2, 4)
        >>> outputs, h, c = layers.LSTM(4, return_sequences=True, return_state=True)(x)
        >>> outputs.shape, c.shape
        ((2, 10, 4), (2, 4))
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_cudnn(type(self).__name__, use_cudnn)
        cell = LSTMCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            implementation=implementation,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="lstm_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=3)
        self.use_cudnn = use_cudnn


@_shows(GRUCell)
class GRU(RNN):
    """Run a gated recurrent unit over the time steps of sequences.

    The formulas are in `GRUCell` (Cho et al. 2014). For
    inputs of shape (batch, time, features) it returns the last output (batch, units), or with
    `return_sequences` all of them (batch, time, units); with `return_state` a tuple of that and
    the last state. See `RNN` for calls, initial states and masks.

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
        activity_regularizer: a function of the output, added to the loss.
        kernel_constraint: applied after every update; likewise for the other weights.
        recurrent_constraint: see kernel_constraint.
        bias_constraint: see kernel_constraint.
        dropout: the share of input features dropped in training, the same at every time step.
        recurrent_dropout: the share of the state dropped in training, likewise.
        seed: for dropout.
        return_sequences: whether to return the output of every step.
        return_state: whether to return the last state as well.
        go_backwards: whether to begin with the last step; outputs come in the order of running.
        stateful: whether the state of one batch begins the next; `reset_state()` sets 0.
        unroll: whether to write the steps out instead of looping.
        reset_after: whether the reset gate comes after the recurrent kernel, as in cuDNN.
        use_cudnn: accepted for Keras' sake; XLA compiles the loop on every device.
        implementation: 1 lets each gate drop input features on its own.
        zero_output_for_mask: whether a masked step's output is 0 instead of the one before.

    Raises:
        ConfigError: units is not positive, or a rate is not between 0 and 1.
        ShapeError: see `RNN`.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import layers
        >>> layers.GRU(4, return_sequences=True)(jnp.ones((2, 10, 8))).shape
        (2, 10, 4)
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: bool | str = "auto",
        implementation: int = 2,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_cudnn(type(self).__name__, use_cudnn)
        cell = GRUCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
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
            reset_after=reset_after,
            implementation=implementation,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="gru_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=3)
        self.use_cudnn = use_cudnn


@_shows(SimpleRNNCell)
class SimpleRNN(RNN):
    """Feed each step's output back: ``activation(x @ kernel + bias + h @ recurrent_kernel)``.

    The network of Elman 1990, with the output as the state. For
    inputs of shape (batch, time, features) it returns the last output (batch, units), or with
    `return_sequences` all of them (batch, time, units); with `return_state` a tuple of that and
    the last state. See `RNN` for calls, initial states and masks.

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
        activity_regularizer: a function of the output, added to the loss.
        kernel_constraint: applied after every update; likewise for the other weights.
        recurrent_constraint: see kernel_constraint.
        bias_constraint: see kernel_constraint.
        dropout: the share of input features dropped in training, the same at every time step.
        recurrent_dropout: the share of the state dropped in training, likewise.
        return_sequences: whether to return the output of every step.
        return_state: whether to return the last state as well.
        go_backwards: whether to begin with the last step; outputs come in the order of running.
        stateful: whether the state of one batch begins the next; `reset_state()` sets 0.
        unroll: whether to write the steps out instead of looping.
        seed: for dropout.
        zero_output_for_mask: whether a masked step's output is 0 instead of the one before.

    Raises:
        ConfigError: units is not positive, or a rate is not between 0 and 1.
        ShapeError: see `RNN`.

    Example:
        >>> import jax.numpy as jnp
        >>> from plait import layers
        >>> layers.SimpleRNN(4)(jnp.ones((2, 10, 8))).shape
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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
            units,
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
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="simple_rnn_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=3)
