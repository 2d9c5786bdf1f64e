"""The base of the optimizers: the pure update, with its state and parameters in variables."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np

from plait.core.naming import auto_name, snake_case
from plait.core.scope import current_scope
from plait.core.variable import Variable
from plait.core.walk import mark_changed
from plait.errors import ArgumentTypeError, ConfigError, DataError, NotBuiltError, ShapeError
from plait.optimizers import arguments
from plait.optimizers.arguments import Options
from plait.optimizers.clipping import clipper
from plait.optimizers.pure import Arrays, PureOptimizer


class Optimizer(PureOptimizer):
    """Change variables against their gradients.

    Its arguments are attributes, and can be set in the middle of training; a learning rate that is
    a number counts at once, for any other the next step compiles anew.

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

    Attributes:
        slots: the state that belongs to variables, by path.

    Raises:
        ConfigError: a number outside its range, or two ways to clip.
        ArgumentTypeError: an unknown argument, or a learning rate that is none.

    Example:
        >>> import optax
        >>> from plait.core.variable import Variable
        >>> from plait.optimizers import Optimizer, scale_by_learning_rate
        >>> class SignDescent(Optimizer):
        ...     def transformation(self):
        ...         return optax.chain(optax.scale_by_sign(), scale_by_learning_rate())
        >>> weight = Variable([1.0, 1.0], name="weight")
        >>> SignDescent(learning_rate=0.5).apply([np.array([3.0, -4.0])], [weight])
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
            known = (set(self._captured) | set(Options.__annotations__)) - set(unknown)
            arguments.refuse(self, unknown, sorted(known))
        arguments.check_range(self, "ema_momentum", ema_momentum, 0, 1)
        arguments.check_whole(self, "ema_overwrite_frequency", ema_overwrite_frequency, 1)
        arguments.check_whole(self, "gradient_accumulation_steps", gradient_accumulation_steps, 2)
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
        self._is_stale = False
        self.slots: dict[str, Variable] = {}
        self._optimized: dict[str, Variable] = {}
        self._set_aside: WeakKeyDictionary[Variable, dict[str, Variable]] = WeakKeyDictionary()
        self._undecayed: tuple[set[Variable], re.Pattern[str] | None] = (set(), None)
        self._compiled: Callable[..., Any] | None = None
        self._iteration = self._scalar("iteration", 0, "int32")
        self._learning_rate: Variable | Callable[..., Any] = (
            learning_rate
            if callable(learning_rate)
            else self._scalar("learning_rate", arguments.number(self, learning_rate), "float32")
        )

    def _scalar(self, name: str, value: Any, dtype: str) -> Variable:
        path = f"{self.name}/{name}"
        return Variable(value, (), dtype, trainable=False, autocast=False, name=name, path=path)

    # -- the learning rate and the count ----------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """The learning rate: a Variable, or the value of the schedule at this iteration.

        It can be set to a number at any time, and nothing compiles anew; and to a schedule.

        Raises:
            ArgumentTypeError: a number is set where there is a schedule.
        """
        rate = self._learning_rate
        return rate if isinstance(rate, Variable) else _scheduled(rate, self._iteration.value)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self._captured["learning_rate"] = self._learning_rate = value
            self._change()
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(arguments.number(self, value))
        else:
            raise ArgumentTypeError(
                f"the learning rate of optimizer '{self.name}' follows a schedule "
                f"({type(self._learning_rate).__name__}), so it cannot be set to {value!r}.",
                fix=f"make it with a number, {type(self).__name__}(learning_rate=0.001), "
                "or set a new schedule",
            )

    def rate(self, state: Mapping[str, Any]) -> Any:
        """Return the learning rate of the next update."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return state["learning_rate"]
        return _scheduled(rate, state["iteration"])

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
        own = {"learning_rate": rate} if isinstance(rate, Variable) else {}
        return {"iteration": self._iteration, **own, **self.slots}

    @property
    def variables(self) -> list[Variable]:
        """The variables of `state`."""
        return list(self.state.values())

    def init(self, params: Mapping[str, Any]) -> Arrays:
        """Return the state that `update` starts from, for parameters by path."""
        rate = self._learning_rate
        own = {"learning_rate": rate.value} if isinstance(rate, Variable) else {}
        state = {"iteration": np.int32(0), **own, **self.init_slots(params)}
        return {name: jnp.array(value) for name, value in state.items()}

    def build(self, variables: Mapping[str, Variable] | Sequence[Variable]) -> None:
        """Make the slots for the variables to optimize.

        Called again, with the variables of a model that changed, the slots of a variable that is
        still there keep their values, also under a new path, and so do slots of the same path,
        shape and dtype. Those of a variable that left are set aside as they are, while it lives:
        it finds them again when an undo brings it back. Others start anew.

        Args:
            variables: by path; or a sequence, whose own paths count (made unique by position).
        """
        named = arguments.by_path(variables)
        if self.built and not self._is_stale and named == self._optimized:
            return
        specs = self._slot_specs(named)
        kept = {
            name: slot
            for name, slot in self._moved_slots(named).items()
            if name in specs and (slot.shape, slot.dtype) == specs[name]
        }
        fresh = _fresh_slots({name: spec for name, spec in specs.items() if name not in kept},
                             lambda: self.init_slots(_concrete(named)))  # fmt: skip
        slots = kept | fresh
        self.slots = {name: slots[name] for name in specs}
        self._optimized, self.built, self._compiled = named, True, None
        self._is_stale = False

    def _moved_slots(self, variables: Mapping[str, Variable]) -> dict[str, Variable]:
        """Return the slots by the paths that their variables have now."""
        now = {variable: path for path, variable in variables.items()}
        moved: dict[str, Variable] = {}
        for name, slot in self.slots.items():
            path, _, leaf = name.rpartition("/")
            variable = self._optimized.get(path)
            if variable is not None and variable not in now:
                self._set_aside.setdefault(variable, {})[leaf] = _slot(
                    name, np.array(slot.concrete_value()), slot.shape, slot.dtype
                )
            moved[f"{now.get(variable, path)}/{leaf}" if variable is not None else name] = slot
        for variable, path in now.items():
            aside = self._set_aside.pop(variable, {})
            moved |= {f"{path}/{leaf}": slot for leaf, slot in aside.items()}
        return moved

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_set_aside": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _set_aside=WeakKeyDictionary())

    @property
    def optimized(self) -> list[Variable]:
        """The variables that `build` was given."""
        return list(self._optimized.values())

    def _slot_specs(self, variables: Mapping[str, Variable]) -> dict[str, tuple[Any, str]]:
        names: list[str] = []

        def values(params: Arrays) -> list[Any]:
            slots = self.init_slots({path: params[path] for path in variables})
            names.extend(slots)
            return list(slots.values())

        shapes = {p: jax.ShapeDtypeStruct(v.shape, v.dtype) for p, v in variables.items()}
        specs = jax.eval_shape(values, shapes)
        return {n: (s.shape, s.dtype.name) for n, s in zip(names, specs, strict=True)}

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
        if self._is_stale and current_scope() is None:
            self.build(self._optimized)
        given = self._pair(grads, trainable_variables)
        paths = self._optimized if self.use_ema else given
        params, state = {path: self._optimized[path] for path in paths}, self.state
        if current_scope() is None:
            self._apply_concretely(given, state, params)
            return
        new_params, new_state = self.update(given, _values(state), _values(params))
        for path, variable in params.items():
            variable.assign(new_params[path])
        for name, variable in state.items():
            variable.assign(new_state[name])

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

    def _pair(self, grads: list[Any], variables: Sequence[Variable] | None) -> Arrays:
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
                given[paths[variable]] = gradient
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

    def moving_averages(self) -> list[tuple[Variable, Variable]]:
        """Return every variable with its moving average; there are none without `use_ema`."""
        if not self.use_ema:
            return []
        return [(v, self.slots[f"{path}/average"]) for path, v in self._optimized.items()]

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """Put the moving averages in place of the variables, if `use_ema`."""
        averages = dict(self.moving_averages())
        for variable in var_list:
            if variable in averages:
                variable.assign(averages[variable])

    def constraint(self, path: str) -> Callable[[Any], Any] | None:
        """Return the constraint of the variable at `path`, or None."""
        variable = self._optimized.get(path)
        return None if variable is None else variable.constraint

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
        self._change()

    def is_decayed(self, path: str) -> bool:
        """Return whether weight decay is for the variable at `path`."""
        variables, pattern = self._undecayed
        variable = self._optimized.get(path)
        name = path.rsplit("/", 1)[-1] if variable is None else variable.name
        return variable not in variables and not (pattern and pattern.search(name))

    # -- configuration ----------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as plain data, with the learning rate of now."""
        rate = self._learning_rate
        now = {"learning_rate": float(rate.value)} if isinstance(rate, Variable) else {}
        return {**super().get_config(), **now, "name": self.name}

    def clone(self, **changes: Any) -> Self:
        """Make an optimizer with the same configuration, and no state."""
        rate = self._learning_rate
        now = {"learning_rate": float(rate.value)} if isinstance(rate, Variable) else {}
        return super().clone(**{**now, **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        known = name in self._captured or name in Options.__annotations__
        if known and name != "learning_rate" and self.__dict__.get("_constructed"):
            self._captured[name] = value
            self._change()

    def _change(self) -> None:
        """Let what was compiled go, and the next `build` see which slots there are now."""
        self._compiled, self._is_stale = None, True
        mark_changed(self)


def _scheduled(schedule: Callable[..., Any], iteration: Any) -> Any:
    return schedule(iteration) if inspect.signature(schedule).parameters else schedule()


def _values(variables: Mapping[str, Variable]) -> Arrays:
    return {name: variable.value for name, variable in variables.items()}


def _concrete(variables: Mapping[str, Variable]) -> Arrays:
    return {path: variable.concrete_value() for path, variable in variables.items()}


def _fresh_slots(
    specs: Mapping[str, tuple[Any, str]], init: Callable[[], Arrays]
) -> dict[str, Variable]:
    """Make slots whose values are computed together when one is first needed."""
    values: Arrays = {}

    def initializer(name: str) -> Callable[..., Any]:
        def initial(shape: Any, dtype: Any) -> Any:
            if name not in values:
                made = init()
                values.update({slot: made[slot] for slot in specs})
            return values.pop(name)

        return initial

    return {
        name: _slot(name, initializer(name), shape, dtype) for name, (shape, dtype) in specs.items()
    }


def _slot(path: str, value: Any, shape: Any, dtype: str) -> Variable:
    name = path.rpartition("/")[2]
    return Variable(value, shape, dtype, trainable=False, autocast=False, name=name, path=path)
