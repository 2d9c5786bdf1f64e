"""Layers around layers: both directions of time, and one layer for every time step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from plait.core.calling import ensure_built, map_specs
from plait.core.infer import infer
from plait.core.layer import Layer
from plait.core.scope import Scope, current_scope
from plait.core.spec import InputSpec, TensorSpec
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor
from plait.layers.time_loop import step_scope


class Wrapper(Layer):
    """Base of layers around one other layer.

    Args:
        layer: the layer within, kept as `layer`.

    Raises:
        ArgumentTypeError: `layer` is no layer.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> class Twice(layers.Wrapper):
        ...     def call(self, inputs):
        ...         return self.layer(self.layer(inputs))
        >>> Twice(layers.Dense(3))(plait.Input((3,))).shape
        (None, 3)
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        _check_layer(type(self).__name__, "layer", layer)
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        """Build the layer within for the same inputs."""
        _build(self.layer, input_shape)


def _check_layer(who: str, argument: str, layer: Any) -> None:
    if isinstance(layer, Layer):
        return
    made = isinstance(layer, type) and issubclass(layer, Layer)
    shown = f"the class {layer.__name__}" if made else f"an object of type {type(layer).__name__}"
    raise ArgumentTypeError(
        f"{who}: {argument} is a layer; received {shown}.",
        fix=f"make one: {who}({layer.__name__}(...))" if made else f"{who}(layers.Dense(8))",
    )


def _build(layer: Layer, shape: Any) -> None:
    ensure_built(layer, (SymbolicTensor(tuple(shape), layer.compute_dtype),), {})


class TimeDistributed(Wrapper):
    """Apply a layer to each time step of inputs of shape (batch, time, ...).

    All steps are computed at once. A layer that changes its variables or adds to the loss (batch
    normalization in training) is applied step after step instead, as Keras does.

    Args:
        layer: the layer; it sees (batch, ...). Its `call` gets the step's mask if it takes one.

    Raises:
        ArgumentTypeError: `layer` is no layer.
        ShapeError: the inputs have fewer than 3 axes, or the mask is not (batch, time, ...).

    Example:
        >>> import plait
        >>> from plait import layers
        >>> layers.TimeDistributed(layers.Dense(8))(plait.Input((10, 4))).shape
        (None, 10, 8)
    """

    supports_masking = True
    call_advice = "give it (batch, time, ...): the layer is applied to each step of axis 1"

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.input_spec = InputSpec(min_ndim=3)

    def build(self, input_shape: Any) -> None:
        """Build the layer for one time step."""
        super().build(_one_step(input_shape))

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Return the shape and dtype of the layer's output with the time axis put in."""
        step = SymbolicTensor(_one_step(inputs.shape), inputs.dtype)
        time = inputs.shape[1]
        return map_specs(
            lambda spec: TensorSpec((spec.shape[0], time, *spec.shape[1:]), spec.dtype),
            infer(self.layer, (step,), {}),
        )

    def call(self, inputs: jax.Array, training: bool | None = None, mask: Any = None) -> Any:
        """Return what the layer gives for each step, stacked on axis 1."""
        if mask is not None and mask.shape[:2] != inputs.shape[:2]:
            raise ShapeError(
                f"needs a mask that begins with {inputs.shape[:2]}, received {mask.shape}.",
                fix="pass mask of shape (batch, time)",
            )
        if "mask" not in self.layer._call_parameters:
            mask = None
        outer = current_scope()
        assert outer is not None
        inner: list[Scope] = []

        def at_once(step: jax.Array, step_mask: Any, time: Any) -> Any:
            with step_scope(outer, {}, time) as scope:
                inner.append(scope)
                return self._apply(step, step_mask, training)

        axes = (1, None if mask is None else 1, 0)
        times = jnp.arange(inputs.shape[1])
        outputs = jax.vmap(at_once, in_axes=axes, out_axes=1)(inputs, mask, times)
        if not (inner[0].changed or inner[0].losses):
            return outputs
        steps = [
            self._apply(inputs[:, time], None if mask is None else mask[:, time], training)
            for time in range(inputs.shape[1])
        ]
        return jax.tree.map(lambda *parts: jnp.stack(parts, axis=1), *steps)

    def _apply(self, inputs: jax.Array, mask: Any, training: bool | None) -> Any:
        return self.layer(inputs, training=training, **({} if mask is None else {"mask": mask}))


def _one_step(shape: Any) -> Any:
    return (shape[0], *shape[2:])


_MERGES = {
    "sum": lambda forward, backward: forward + backward,
    "mul": lambda forward, backward: forward * backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    None: lambda forward, backward: (forward, backward),
}


class Bidirectional(Layer):
    """Run a recurrent layer forwards and a copy of it backwards over time, and merge the outputs.

    Outputs of both directions at one place belong to the same time step. With `return_state` the
    result is ``(output, *forward states, *backward states)``; `initial_state` takes the states in
    this order. The source is Schuster & Paliwal 1997.

    Args:
        layer: a recurrent layer, or one with `go_backwards`, `return_sequences`, `return_state`
            and `stateful`. It is copied, without its weights.
        merge_mode: "concat", "sum", "mul", "ave", or None for a tuple of both.
        weights: initial weights, those of the forward layer first.
        backward_layer: the layer that runs backwards; default: a copy of `layer`.

    Raises:
        ArgumentTypeError: `layer` or `backward_layer` is no layer.
        ConfigError: the merge mode is unknown, or the layers do not match.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> x = plait.Input((10, 4))
        >>> layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x).shape
        (None, 10, 16)
    """

    supports_masking = True
    call_advice = (
        "give it (batch, time, features); after another recurrent layer, that one needs "
        "return_sequences=True"
    )

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: list[Any] | None = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        who = type(self).__name__
        _check_recurrent(who, "layer", layer)
        if backward_layer is not None:
            _check_recurrent(who, "backward_layer", backward_layer)
        if merge_mode not in _MERGES:
            raise ConfigError(
                f"{who}: merge_mode is 'concat', 'sum', 'mul', 'ave' or None; "
                f"received {merge_mode!r}."
            )
        super().__init__(**kwargs)
        forward_layer: Any = layer.clone(name=_directed("forward", layer))
        if backward_layer is None:
            backward_layer = layer.clone(name=_directed("backward", layer), go_backwards=True)
        _check_pair(who, forward_layer, backward_layer)
        self.forward_layer: Any = forward_layer
        self.backward_layer: Any = backward_layer
        self.merge_mode = merge_mode
        self.stateful: bool = forward_layer.stateful
        self.return_sequences: bool = forward_layer.return_sequences
        self.return_state: bool = forward_layer.return_state
        for directed in (self.forward_layer, self.backward_layer):
            if hasattr(directed, "zero_output_for_mask"):
                directed.zero_output_for_mask = self.return_sequences
        self._initial_weights = weights
        self.input_spec = layer.input_spec

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        """Run on sequences; a list is the sequences and the initial states."""
        if isinstance(sequences, list | tuple) and sequences and "initial_state" not in kwargs:
            sequences, *states = sequences
            kwargs["initial_state"] = states or None
        return super().__call__(sequences, *args, **kwargs)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Build both layers."""
        for directed in (self.forward_layer, self.backward_layer):
            _build(directed, sequences_shape)
        if self._initial_weights:
            half = len(self._initial_weights) // 2
            self.forward_layer.set_weights(self._initial_weights[:half])
            self.backward_layer.set_weights(self._initial_weights[half:])

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Return the merged outputs, and the states of both directions if asked."""
        states: tuple[Any, ...] = ()
        outputs = []
        for directed, given in zip(
            (self.forward_layer, self.backward_layer), self._halves(initial_state), strict=True
        ):
            kwargs = {"initial_state": given, "mask": mask}
            known = {k: v for k, v in kwargs.items() if k in directed._call_parameters}
            output = directed(sequences, training=training, **known)
            if self.return_state:
                output, *last = output
                states += tuple(last)
            outputs.append(output.astype(self.compute_dtype))
        forward, backward = outputs
        if self.return_sequences:
            backward = jnp.flip(backward, axis=1)
        merged = _MERGES[self.merge_mode](forward, backward)
        if not self.return_state:
            return merged
        return (*(merged if self.merge_mode is None else (merged,)), *states)

    def _halves(self, states: Any) -> tuple[Any, Any]:
        if states is None:
            return None, None
        if not isinstance(states, list | tuple) or len(states) % 2:
            raise ShapeError(
                "needs initial states for both directions.",
                fix="initial_state=[*forward_states, *backward_states]",
            )
        half = len(states) // 2
        return states[:half], states[half:]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """Return the merged shape, and those of the states if asked."""
        states: tuple[Any, ...] = ()
        shapes = []
        for directed, given in zip(
            (self.forward_layer, self.backward_layer),
            self._halves(initial_state_shape),
            strict=True,
        ):
            extra = () if given is None else (given,)
            shape = directed.compute_output_shape(sequences_shape, *extra)
            if self.return_state:
                shape, *last = shape
                states += tuple(last)
            shapes.append(tuple(shape))
        forward, backward = shapes
        if self.merge_mode is None:
            return (*shapes, *states) if self.return_state else (forward, backward)
        if self.merge_mode == "concat":
            forward = (*forward[:-1], forward[-1] + backward[-1])
        return (forward, *states) if self.return_state else forward

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the steps for the outputs of all steps, none for the rest."""
        mask = tree.flatten(previous_mask)[0] if self.return_sequences else None
        return (mask, mask) if self.merge_mode is None else mask

    @property
    def states(self) -> tuple[Any, ...] | None:
        """The kept states of both layers, or None."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return (*forward, *backward) if forward and backward else None

    def reset_state(self) -> None:
        """Set the kept states of both layers to 0."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state


_RECURRENT = ("go_backwards", "stateful", "return_sequences", "return_state")


def _directed(direction: str, layer: Layer) -> str:
    return f"{direction}_{layer.name.removeprefix(f'{direction}_')}"


def _check_recurrent(who: str, argument: str, layer: Any) -> None:
    _check_layer(who, argument, layer)
    for name in _RECURRENT:
        if not hasattr(layer, name):
            raise ConfigError(
                f"{who}: {type(layer).__name__} '{layer.name}' has no {name}.",
                fix="pass a recurrent layer such as layers.LSTM(8)",
            )


def _check_pair(who: str, forward: Any, backward: Any) -> None:
    for name in _RECURRENT:
        same = getattr(forward, name) == getattr(backward, name)
        if same == (name == "go_backwards"):
            rule = "different" if same else "the same"
            raise ConfigError(
                f"{who}: layer and backward_layer need {rule} {name}; received "
                f"{getattr(forward, name)} and {getattr(backward, name)}.",
                fix="layers.LSTM(8, go_backwards=True) as backward_layer" if same else None,
            )
