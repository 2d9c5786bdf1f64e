"""The base of the optimizers: an optax transformation, its state in variables, and one update.

`Optimizer.init` and `Optimizer.update` are pure functions on dictionaries; `apply` is the same
update on variables. The order of things within an update is Keras 3's.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax

from plait.core.naming import auto_name, snake_case
from plait.core.registry import Configurable
from plait.core.scope import current_scope
from plait.core.variable import Variable
from plait.errors import (
    ArgumentTypeError,
    ConfigError,
    DataError,
    NotBuiltError,
    ShapeError,
    did_you_mean,
)
from plait.optimizers.clipping import clipper
from plait.optimizers.layout import Layout
from plait.optimizers.transformation import full

Arrays = dict[str, Any]


class Options(TypedDict, total=False):
    """The arguments that every optimizer takes; see `Optimizer`."""

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Optimizer(Configurable):
    """Change variables against their gradients.

    A subclass implements `transformation`. The state is a set of variables named by path: the
    momentum of ``dense/kernel`` is ``slots["dense/kernel/momentum"]``, so it stays with its kernel
    when the model around it changes.

    Args:
        learning_rate: a number, a `LearningRateSchedule`, or a function of the number of updates
            so far (or of nothing).
        weight_decay: before each update a variable loses this share of itself, times the learning
            rate (decoupled decay, Loshchilov & Hutter 2019).
        clipnorm: the largest L2 norm of each gradient.
        clipvalue: the largest absolute value of each element of a gradient.
        global_clipnorm: the largest L2 norm of all gradients together. Only one of the three.
        use_ema: keep an exponential moving average of every variable.
        ema_momentum: the share of the average that stays, within [0, 1].
        ema_overwrite_frequency: put the average in place of the variables at every so many
            updates; None: only in `finalize_variable_values`.
        loss_scale_factor: the loss is multiplied by it (`scale_loss`), and gradients divided.
        gradient_accumulation_steps: update once in so many calls (2 or more), by the mean of
            their gradients.
        name: default: the class in snake case.

    Raises:
        ConfigError: a number outside its range, or two ways to clip.
        ArgumentTypeError: an unknown argument, or a learning rate that is none.

    Example:
        >>> import optax
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Optimizer
        >>> from plait.optimizers.transformation import scale_by_learning_rate
        >>> class SignDescent(Optimizer):
        ...     # -- the learning rate and the count ----------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The learning rate: a Variable, or the value of the schedule at this iteration.

        It can be set to a number at any time, and nothing compiles anew; and to a schedule.

        Raises:
            ArgumentTypeError: a number is set where there is a schedule.
        """
        return self._rate(self._iteration.value)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self._learning_rate = value
            self._compiled = None
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(value)
        else:
            raise ArgumentTypeError(
                f"the learning rate of optimizer '{self.name}' follows "
                f"{_shown(self._learning_rate)}, so it cannot be set to a number.",
                fix=f"make it with a number: {type(self).__name__}(learning_rate=0.001)",
            )

    def _rate(self, iteration: Any) -> Any:
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return rate
        return rate(iteration) if inspect.signature(rate).parameters else rate()

    @property
    def iterations(self) -> Any:
        """The number of updates so far, an int32 scalar."""
        if self.gradient_accumulation_steps:
            return self._iteration.value // self.gradient_accumulation_steps
        return self._iteration

    # -- state ------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Variable]:
        """The whole state by name: ``iteration``, ``learning_rate`` if it is a number, slots."""
        rate = self._learning_rate
        own = {"iteration": self._iteration}
        if isinstance(rate, Variable):
            own["learning_rate"] = rate
        return {**own, **self.slots}

    @property
    def variables(self) -> list[Variable]:
        """The variables of `state`."""
        return list(self.state.values())

    def build(self, variables: Mapping[str, Variable] | Sequence[Variable]) -> None:
        """Make the slots for the variables to optimize.

        Called again, with the variables of a model that changed, a slot with the same path,
        shape and dtype keeps its value; others start anew or go.

        Args:
            variables: by path; or a sequence, whose own paths count (made unique by position).
        """
        named = _by_path(variables)
        if self.built and named == self._optimized:
            return
        specs = self._specs(named)
        values: Arrays = {}

        def initial(name: str) -> Any:
            # Computed together when the first is needed; each is handed out once.
            if not values:
                params = {path: v.concrete_value() for path, v in named.items()}
                made = self.init(params)
                values.update({slot: made[slot] for slot in fresh})
            return values.pop(name)

        kept = {
            name: self.slots[name]
            for name, spec in specs.items()
            if name in self.slots
            and (self.slots[name].shape, self.slots[name].dtype) == (spec.shape, str(spec.dtype))
        }
        fresh = [name for name in specs if name not in kept]
        self.slots = {
            name: kept[name]
            if name in kept
            else Variable(
                lambda shape, dtype, name=name: initial(name),
                shape=spec.shape,
                dtype=spec.dtype,
                trainable=False,
                autocast=False,
                name=name.rsplit("/", 1)[-1],
                path=name,
            )
            for name, spec in specs.items()
        }
        self._optimized, self.built, self._compiled = named, True, None

    def _scalar(self, name: str, value: Any, dtype: str) -> Variable:
        return Variable(
            value,
            dtype=dtype,
            trainable=False,
            autocast=False,
            name=name,
            path=f"{self.name}/{name}",
        )

    # -- the update -------------------------------------------------------------------------

    def apply(
        self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        """Change the variables by one update.

        Under a `Scope` this stays in the scope; else the variables change, by one compiled call.

        Args:
            grads: one gradient for each variable, in their order; None for a variable that the
                loss does not depend on: it stays as it is, with a warning.
            trainable_variables: default: those of `build`. The first call builds.

        Raises:
            NotBuiltError: there are no variables yet.
            ConfigError: a variable that `build` was not given.
            DataError: not one gradient for each variable, or none at all.
            ShapeError: a gradient that has not the shape of its variable.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            if not self.built:
                self.build(trainable_variables)
        elif not self.built:
            raise NotBuiltError(
                f"optimizer '{self.name}' has gradients but knows no variables yet.",
                fix="optimizer.build(model.trainable_variables), or pass them to apply",
            )
        given = self._paired(grads, trainable_variables)
        paths = self._optimized if self.use_ema else given
        params = {path: self._optimized[path] for path in paths}
        state = self.state
        if current_scope() is None:
            self._apply_concretely(given, state, params)
            return
        new = self.update(given, _values(state), _values(params))
        for variables, values in zip((params, state), new, strict=True):
            for name, variable in variables.items():
                variable.assign(values[name])

    def _apply_concretely(
        self, grads: Arrays, state: dict[str, Variable], params: dict[str, Variable]
    ) -> None:
        if any(isinstance(g, jax.core.Tracer) for g in grads.values()):
            raise ArgumentTypeError(
                f"optimizer '{self.name}' was applied inside a JAX transformation, which would "
                "leave tracers in the variables.",
                fix="params, state = optimizer.update(grads, state, params)",
            )
        if self._compiled is None:
            self._compiled = jax.jit(self.update)
        for variable in (*params.values(), *state.values()):
            if variable.owner is not None:
                variable.owner.release()
        new_params, new_state = self._compiled(grads, _values(state), _values(params))
        for path, variable in params.items():
            variable.store(new_params[path])
        for name, variable in state.items():
            variable.store(new_state[name])

    def _paired(self, grads: list[Any], variables: Sequence[Variable] | None) -> Arrays:
        paths = {variable: path for path, variable in self._optimized.items()}
        chosen = list(paths if variables is None else variables)
        if len(grads) != len(chosen):
            raise DataError(
                f"optimizer '{self.name}' got {len(grads)} gradients for {len(chosen)} variables."
            )
        given: Arrays = {}
        missing = []
        for gradient, variable in zip(grads, chosen, strict=True):
            if variable not in paths:
                raise ConfigError(
                    f"optimizer '{self.name}' was not built with variable '{variable.path}'.",
                    fix="optimizer.build(model.trainable_variables); slots of the others stay",
                )
            if gradient is None:
                missing.append(variable.path)
            elif np.shape(gradient) != variable.shape:
                raise ShapeError(
                    f"variable '{variable.path}' is {variable.shape}, but its gradient is "
                    f"{np.shape(gradient)}."
                )
            else:
                given[paths[variable]] = jnp.asarray(gradient)
        if not given:
            raise DataError(
                "no variable has a gradient: the loss depends on none of them.",
                fix="compute the loss from the model's outputs, and pass loss= to compile",
            )
        if missing:
            warnings.warn(f"the loss does not depend on {missing}; they stay as they are.")
        return given

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """Change the variables by one update, given pairs; return `iterations`."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self.iterations

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss to differentiate: times `loss_scale_factor`, if there is one."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Put the moving averages in place of the variables, if `use_ema`."""
        if not self.use_ema:
            return
        paths = {variable: path for path, variable in self._optimized.items()}
        for variable in var_list:
            if variable in paths:
                variable.assign(self.slots[f"{paths[variable]}/average"])

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Let variables be without weight decay; a later call replaces an earlier one.

        Args:
            var_list: these variables.
            var_names: every variable whose name holds one of these, such as ``"bias"``.
        """
        names = list(var_names or ())
        pattern = re.compile("|".join(names)) if names else None
        self._undecayed = (set(var_list or ()), pattern)
        self._compiled = None

    def _is_undecayed(self, path: str) -> bool:
        variables, pattern = self._undecayed
        variable = self._optimized.get(path)
        name = path.rsplit("/", 1)[-1] if variable is None else variable.name
        return variable in variables or (pattern is not None and bool(pattern.search(name)))

    # -- configuration ----------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as plain data, with the learning rate and name of now."""
        config = super().get_config()
        if isinstance(self._learning_rate, Variable):
            config["learning_rate"] = float(self._learning_rate.value)
        return {**config, "name": self.name}

    def clone(self, **changes: Any) -> Self:
        """Make an optimizer with the same configuration, and no state."""
        rate = self._learning_rate
        now = float(rate.value) if isinstance(rate, Variable) else rate
        return super().clone(**{"learning_rate": now, **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if self.__dict__.get("_constructed") and not name.startswith("_"):
            if name in self._captured or name in Options.__annotations__:
                self._captured[name] = value
                object.__setattr__(self, "_compiled", None)
