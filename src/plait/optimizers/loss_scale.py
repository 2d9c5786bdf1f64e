"""Keep small gradients of half-width floats from vanishing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from plait.core.variable import Variable
from plait.optimizers.arguments import check_whole
from plait.optimizers.optimizer import Optimizer
from plait.optimizers.pure import Arrays


class LossScaleOptimizer(Optimizer):
    """Scale the loss up and the gradients down, by a factor that follows what fits.

    The factor doubles after `dynamic_growth_steps` updates in a row with finite gradients. When a
    gradient is not finite, it halves and the update is skipped (Micikevicius et al. 2018, as in
    Keras).

    Args:
        inner_optimizer: what updates; its own `loss_scale_factor` is taken away.
        initial_scale: the first factor.
        dynamic_growth_steps: how long until the factor doubles.
        name: default: the class in snake case.

    Example:
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import SGD, LossScaleOptimizer
        >>> weight = Variable([1.0], name="weight")
        >>> optimizer = LossScaleOptimizer(SGD(0.5), initial_scale=4.0)
        >>> optimizer.apply([jnp.array([4.0])], [weight])
        >>> weight.numpy().tolist()
        [0.5]
        >>> optimizer.apply([jnp.array([jnp.inf])])
        >>> weight.numpy().tolist(), float(optimizer.dynamic_scale)
        ([0.5], 2.0)
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
    ) -> None:
        super().__init__(0.0, use_ema=inner_optimizer.use_ema, name=name)
        check_whole(self, "dynamic_growth_steps", dynamic_growth_steps, 1)
        inner_optimizer.loss_scale_factor = None
        self.inner_optimizer = inner_optimizer
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps
        self.step_counter = self._scalar("step_counter", 0, "int32")
        self.dynamic_scale = self._scalar("dynamic_scale", initial_scale, "float32")

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value
        self._change()

    @property
    def iterations(self) -> Any:
        """The number of updates of the inner optimizer."""
        return self.inner_optimizer.iterations

    @property
    def state(self) -> dict[str, Variable]:
        """The state of the inner optimizer, the factor, and the updates since it changed."""
        own = {"step_counter": self.step_counter, "dynamic_scale": self.dynamic_scale}
        return {**own, **self.inner_optimizer.state}

    def init(self, params: Mapping[str, Any]) -> Arrays:
        """Return the state that `update` starts from, for parameters by path."""
        own = {"step_counter": jnp.int32(0), "dynamic_scale": jnp.float32(self.initial_scale)}
        return own | self.inner_optimizer.init(params)

    def build(self, variables: Mapping[str, Variable] | Sequence[Variable]) -> None:
        """Make the slots for the variables to optimize, as `Optimizer.build`."""
        self.inner_optimizer.build(variables)
        self.slots, self._optimized = self.inner_optimizer.slots, self.inner_optimizer._optimized
        self.built, self._compiled = True, None

    def update(
        self, grads: Mapping[str, Any], state: Mapping[str, Any], params: Mapping[str, Any]
    ) -> tuple[Arrays, Arrays]:
        """Return new parameters and a new state, as `Optimizer.update`, from scaled gradients."""
        given = {path: jnp.asarray(g) for path, g in grads.items() if g is not None}
        inner = dict(state)
        scale, counter = inner.pop("dynamic_scale"), inner.pop("step_counter")
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(g)) for g in given.values()]))
        new_params, new_state = jax.lax.cond(
            finite,
            lambda: self.inner_optimizer.update(
                {path: g / scale for path, g in given.items()}, inner, params
            ),
            lambda: (dict(params), inner),
        )
        grow = counter == self.dynamic_growth_steps - 1
        new_state["step_counter"] = jnp.where(finite & ~grow, counter + 1, 0)
        new_state["dynamic_scale"] = scale * jnp.where(finite, jnp.where(grow, 2.0, 1.0), 0.5)
        return new_params, new_state

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss to differentiate: times the factor."""
        return loss * self.dynamic_scale.value

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Put the moving averages of the inner optimizer in place of the variables."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Let variables be without the weight decay of the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)
        self._change()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as plain data."""
        return {k: v for k, v in super().get_config().items() if k != "learning_rate"}
