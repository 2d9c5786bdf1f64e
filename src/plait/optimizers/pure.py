"""The pure half of an optimizer: state and parameters in, state and parameters out.

The order of things within an update is Keras 3's: loss scale, accumulation, clipping, weight
decay, the transformation, moving average, constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from plait.core.registry import Configurable
from plait.optimizers.clipping import clipper
from plait.optimizers.layout import Layout
from plait.optimizers.transformation import full

Arrays = dict[str, Any]


class PureOptimizer(Configurable):
    """What `Optimizer` computes, on dictionaries by path.

    Attributes other than these are the options of `Optimizer`.
    """

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None

    def transformation(self):
        ...         return optax.chain(optax.scale_by_sign(), scale_by_learning_rate())
        >>> weight = Variable([1.0, 1.0], name="weight")
        >>> SignDescent(learning_rate=0.5).apply([[3.0, -4.0]], [weight])
        >>> weight.numpy().tolist()
        [0.5, 1.5]
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            _refuse(type(self), unknown)
        _check_number(type(self), "ema_momentum", ema_momentum, 0, 1)
        _check_whole(type(self), "ema_overwrite_frequency", ema_overwrite_frequency, 1)
        _check_whole(type(self), "gradient_accumulation_steps", gradient_accumulation_steps, 2)
        clipper(clipnorm, clipvalue, global_clipnorm)
        self.name = name or auto_name(snake_case(type(self).__name__))
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue = clipnorm, clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema, self.ema_momentum = use_ema, ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self.slots: dict[str, Variable] = {}
        self._iteration = self._scalar("iteration", 0, "int32")
        self._learning_rate: Variable | Callable[..., Any]
        if callable(learning_rate):
            self._learning_rate = learning_rate
        else:
            number = _number(learning_rate, type(self).__name__)
            self._learning_rate = self._scalar("learning_rate", number, "float32")
        self._optimized: dict[str, Variable] = {}
        self._undecayed: tuple[set[Variable], re.Pattern[str] | None] = (set(), None)
        self._compiled: Callable[..., Any] | None = None

    def transformation(self) -> optax.GradientTransformation:
        """Return the optax transformation whose updates are added to the variables.

        Its `update` gets the extra arguments `learning_rate`, and `step`, which counts from 1.

        Raises:
            NotImplementedError: a subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must define transformation(self)")

    def current_rate(self, iteration: Any) -> Any:
        """Return the learning rate at an iteration."""
        raise NotImplementedError

    def is_decayed(self, path: str) -> bool:
        """Return whether weight decay is for this parameter."""
        raise NotImplementedError

    def constraint(self, path: str) -> Callable[[Any], Any] | None:
        """Return the function that a parameter is put through after each update, or None."""
        raise NotImplementedError

    def init(self, params: Mapping[str, Any]) -> Arrays:
        """Return the state to start from, for parameters by path; a pure function."""
        own = {"iteration": jnp.zeros((), "int32"), **self.hyperparameters()}
        return own | {name: jnp.asarray(value) for name, value in self.init_slots(params).items()}

    def init_slots(self, params: Mapping[str, Any]) -> Arrays:
        """Return the part of `init` that belongs to parameters, in the order of Keras."""
        slots: Arrays = {}
        if self.use_ema:
            slots |= {f"{path}/average": p for path, p in params.items()}
        if self.gradient_accumulation_steps:
            slots |= {f"{path}/gradient_accumulator": full(p) for path, p in params.items()}
        transformation = self.transformation()
        layout = Layout(transformation, params)
        values = layout.values(transformation.init(dict(params)))
        return slots | {name: values[name] for name in layout.leaves}

    def update(
        self, grads: Mapping[str, Any], state: Mapping[str, Any], params: Mapping[str, Any]
    ) -> tuple[Arrays, Arrays]:
        """Return new parameters and a new state; a pure function.

        Args:
            grads: path -> gradient; parameters without one stay as they are.
            state: what `init` or the last `update` returned.
            params: path -> value.

        Example:
            >>> import jax.numpy as jnp
            >>> from plait.optimizers import SGD
            >>> sgd, params = SGD(0.5), {"w": jnp.ones(2)}
            >>> params, state = sgd.update({"w": jnp.ones(2)}, sgd.init(params), params)
            >>> params["w"].tolist()
            [0.5, 0.5]
        """
        params, state = dict(params), dict(state)
        changing = {path: params[path] for path, g in grads.items() if g is not None}
        gradients = {path: jnp.asarray(grads[path]) for path in changing}
        if self.loss_scale_factor is not None:
            gradients = {path: g / self.loss_scale_factor for path, g in gradients.items()}
        iteration, every = state["iteration"], self.gradient_accumulation_steps
        rate = state["learning_rate"] if "learning_rate" in state else self._rate(iteration)
        count = iteration // every if every else iteration
        transformation = optax.with_extra_args_support(self.transformation())
        layout = Layout(transformation, changing)
        slots = {name: state[name] for name in layout.names}

        def descend(gradients: Arrays) -> tuple[Arrays, Arrays]:
            clip = clipper(self.clipnorm, self.clipvalue, self.global_clipnorm)
            decayed = {path: self._decay(path, p, rate) for path, p in changing.items()}
            changes, optax_state = transformation.update(
                clip(gradients), layout.state(slots), decayed, learning_rate=rate, step=count + 1
            )
            moved = optax.apply_updates(decayed, changes)
            new = layout.values(optax_state)
            return moved, {name: jnp.asarray(new[name], slots[name].dtype) for name in slots}

        if every:
            due = (iteration + 1) % every == 0
            total = {p: g + state[f"{p}/gradient_accumulator"] for p, g in gradients.items()}
            mean = {path: g / every for path, g in total.items()}
            moved, slots = jax.lax.cond(due, descend, lambda _: (changing, slots), mean)
            for path, g in total.items():
                kept = jnp.where(due, jnp.zeros_like(g), g)
                state[f"{path}/gradient_accumulator"] = kept.astype(changing[path].dtype)
        else:
            moved, slots = descend(gradients)
        params |= moved
        state |= slots
        if self.use_ema:
            self._average(params, state, count)
        for path in changing:
            constraint = getattr(self._optimized.get(path), "constraint", None)
            if constraint is not None:
                params[path] = constraint(params[path])
        state["iteration"] = iteration + 1
        return params, state

    def _decay(self, path: str, value: Any, rate: Any) -> Any:
        if self.weight_decay is None or self._is_undecayed(path):
            return value
        return value - value * self.weight_decay * jnp.asarray(rate, value.dtype)

    def _average(self, params: Arrays, state: Arrays, count: Any) -> None:
        for path, value in params.items():
            kept = jnp.asarray(jnp.where(count == 0, 0.0, self.ema_momentum), value.dtype)
            average = kept * state[f"{path}/average"] + (1 - kept) * value
            state[f"{path}/average"] = average
            if self.ema_overwrite_frequency:
                due = (count + 1) % self.ema_overwrite_frequency == 0
                params[path] = jnp.where(due, average, value)

