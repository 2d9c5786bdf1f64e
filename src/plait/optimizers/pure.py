"""The pure half of an optimizer: state and parameters in, state and parameters out.

The order of things within an update is Keras 3's: loss scale, accumulation, clipping, weight
decay, the transformation, moving average, constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from plait.core.registry import Configurable
from plait.optimizers.clipping import clipper
from plait.optimizers.layout import Layout
from plait.optimizers.transformation import full, with_extra_arguments

if TYPE_CHECKING:
    import optax

Arrays = dict[str, Any]


class PureOptimizer(Configurable):
    """What `Optimizer` computes, on dictionaries by path; `Optimizer` describes the attributes."""

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None

    def transformation(self) -> optax.GradientTransformation:
        """Return the optax transformation whose updates are added to the variables.

        Its `update` gets the extra arguments `learning_rate`, and `step`, which counts from 1.

        Raises:
            NotImplementedError: a subclass does not say.
        """
        raise NotImplementedError(f"{type(self).__name__} must define transformation(self)")

    def rate(self, state: Mapping[str, Any]) -> Any:
        """Return the learning rate of the next update."""
        raise NotImplementedError

    def is_decayed(self, path: str) -> bool:
        """Return whether weight decay is for this parameter."""
        raise NotImplementedError

    def constraint(self, path: str) -> Callable[[Any], Any] | None:
        """Return what a parameter is put through after each update, or None."""
        raise NotImplementedError

    def init_slots(self, params: Mapping[str, Any]) -> Arrays:
        """Return the state that belongs to parameters, by name; a pure function."""
        slots: Arrays = {}
        if self.use_ema:
            slots |= {f"{path}/average": value for path, value in params.items()}
        if self.gradient_accumulation_steps:
            slots |= {f"{path}/gradient_accumulator": full(p) for path, p in params.items()}
        transformation = self.transformation()
        layout = Layout(transformation, params)
        values = layout.values(transformation.init(dict(params)))
        return slots | {name: values[name] for name in layout.ordered}

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
        gradients = {path: jnp.asarray(g) for path, g in grads.items() if g is not None}
        if self.loss_scale_factor is not None:
            gradients = {path: g / self.loss_scale_factor for path, g in gradients.items()}
        iteration, every = state["iteration"], self.gradient_accumulation_steps
        count = iteration // every if every else iteration
        if every:
            moved, changed = self._accumulate(gradients, state, params, count)
        else:
            moved, changed = self._descend(gradients, state, params, count)
        params |= moved
        state |= changed
        if self.use_ema:
            self._average(params, state, count)
        for path in gradients:
            constraint = self.constraint(path)
            if constraint is not None:
                params[path] = constraint(params[path])
        state["iteration"] = iteration + 1
        return params, state

    def _descend(
        self, grads: Arrays, state: Arrays, params: Arrays, count: Any
    ) -> tuple[Arrays, Arrays]:
        """Return what of the parameters and the state one update changes."""
        rate = self.rate(state)
        clip = clipper(self.clipnorm, self.clipvalue, self.global_clipnorm)
        decayed = {path: self._decay(path, params[path], rate) for path in grads}
        layout = Layout(self.transformation(), decayed)
        moved, leaves = self.move(clip(grads), layout.state(state), decayed, rate, count + 1)
        slots = layout.values(leaves)
        return moved, {name: jnp.asarray(slots[name], state[name].dtype) for name in slots}

    def move(
        self, grads: Arrays, slots: Any, params: Arrays, rate: Any, step: Any
    ) -> tuple[Arrays, Any]:
        """Return the parameters with the updates of `transformation` added, and its new state."""
        changes, slots = with_extra_arguments(self.transformation()).update(
            grads, slots, params, learning_rate=rate, step=step
        )
        return {path: (p + changes[path]).astype(p.dtype) for path, p in params.items()}, slots

    def _accumulate(
        self, grads: Arrays, state: Arrays, params: Arrays, count: Any
    ) -> tuple[Arrays, Arrays]:
        """Add the gradients up; descend along their mean when enough of them came."""
        every = self.gradient_accumulation_steps
        total = {path: g + state[f"{path}/gradient_accumulator"] for path, g in grads.items()}

        def descend() -> tuple[Arrays, Arrays]:
            mean = {path: g / every for path, g in total.items()}
            return self._descend(mean, state, params, count)

        def wait() -> tuple[Arrays, Arrays]:
            waiting = {path: params[path] for path in total}
            names = Layout(self.transformation(), waiting).ordered
            return waiting, {name: state[name] for name in names}

        due = (state["iteration"] + 1) % every == 0
        moved, slots = jax.lax.cond(due, descend, wait)
        kept = {
            f"{path}/gradient_accumulator": jnp.where(due, 0, g).astype(params[path].dtype)
            for path, g in total.items()
        }
        return moved, slots | kept

    def _decay(self, path: str, value: Any, rate: Any) -> Any:
        if self.weight_decay is None or not self.is_decayed(path):
            return value
        return value - value * self.weight_decay * jnp.asarray(rate, value.dtype)

    def _average(self, params: Arrays, state: Arrays, count: Any) -> None:
        """Move the averages, and put them in place of the parameters when it is their time."""
        for path, value in params.items():
            kept = jnp.where(count == 0, 0.0, self.ema_momentum).astype(value.dtype)
            average = kept * state[f"{path}/average"] + (1 - kept) * value
            state[f"{path}/average"] = average
            if self.ema_overwrite_frequency:
                due = (count + 1) % self.ema_overwrite_frequency == 0
                params[path] = jnp.where(due, average, value)
