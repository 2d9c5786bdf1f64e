"""The engine: compiled steps over a state that stays on the device.

A step is a method of the model (`train_step`, `test_step`, `predict_step`) run in a scope: the
values of every variable go in, those it leaves come out. While training, the engine owns the
values; a variable that is looked at reads a copy, one that is set writes into the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import calling, random
from plait.core.infer import infer
from plait.core.scope import Scope
from plait.core.variable import Variable
from plait.core.walk import signature, structure_version, variables_by_path
from plait.graph import tree
from plait.ops.arguments import unwrapped
from plait.training.data import pack, unpack

if TYPE_CHECKING:
    from plait.models.model import Model

Logs = dict[str, Any]


class Engine:
    """Runs the steps of one model.

    Args:
        model: the model; its structure may change between steps, what that touches compiles anew.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.count = 0
        self._variables: list[Variable] = []
        self._positions: dict[Variable, int] = {}
        self._state: list[Any] | None = None
        self._steps: dict[str, _Step] = {}
        self._version = -1
        self._signature: Any = None
        self._prepared: set[str] = set()
        self._proven = False
        self._traced = False

    # -- who owns the values ----------------------------------------------------------------

    def read(self, variable: Variable) -> jax.Array:
        """Return a copy of the current value of `variable`."""
        assert self._state is not None
        return jnp.array(self._state[self._positions[variable]])

    def write(self, variable: Variable, value: Any) -> None:
        """Give `variable` a new value, from the next step on."""
        assert self._state is not None
        self._state[self._positions[variable]] = jnp.array(value, variable.dtype)

    def release(self) -> None:
        """Write every value back to its variable and let go of them."""
        if self._state is None:
            return
        state, self._state = self._state, None
        for variable, value in zip(self._variables, state, strict=True):
            variable.owner = None
            if not value.is_deleted():
                variable.store(value)

    def _own(self) -> list[Any]:
        if self._state is None:
            for variable in self._variables:
                if variable.owner is not None:
                    variable.owner.release()
            self._state = [jnp.array(variable.concrete_value()) for variable in self._variables]
            for variable in self._variables:
                variable.owner = self
        return self._state

    def _values(self) -> list[Any]:
        if self._state is not None:
            return self._state
        return [variable.concrete_value() for variable in self._variables]

    # -- steps ------------------------------------------------------------------------------

    def train(self, data: Any) -> Logs:
        """Run one optimizer step; return the logs so far, on the device."""
        return self._run("train", data)

    def test(self, data: Any) -> Logs:
        """Add one batch to the metrics; return the logs so far, on the device."""
        return self._run("test", data)

    def predict(self, data: Any) -> Any:
        """Return the outputs for one batch, on the device."""
        return self._run("predict", data)

    def run(self, function: Callable[[], None]) -> None:
        """Run something that assigns variables (a reset of metrics) without giving up the state."""
        with Scope() as scope:
            function()
        for variable, value in scope.changed.items():
            self._set(variable, value)

    def _run(self, kind: str, data: Any) -> Any:
        done: list[Any] = []
        try:
            self.prepare(kind, data)
            step = self._step(kind)
            state = self._own() if kind == "train" else self._values()
            seed, number = self._randomness()
            # The step takes the old state away. An interrupt (Ctrl-C) must not come between that
            # and keeping the new one: called from within `extend`, it cannot.
            done.extend(map(step.function, (state,), (data,), (seed,), (number,)))
        except Exception:
            if not self._proven:
                self._steps.clear()
                self._prepared.clear()
                self.model.objective.forget_data()
            raise
        finally:
            if done and kind == "train":
                self._state = done[0][0]
        changed, result = done[0]
        if kind != "train":
            for index, value in changed.items():
                self._set(self._variables[index], value)
        self._proven = self._proven or kind != "predict"
        if self._traced:
            # Attributes that the model set on itself while it was traced change nothing.
            self._signature, self._version = signature(self.model), structure_version()
            self._traced = False
        return result if kind == "predict" else dict(zip(step.names, result, strict=True))

    def _set(self, variable: Variable, value: Any) -> None:
        if variable.owner is self and self._state is not None:
            self._state[self._positions[variable]] = value
        elif variable.owner is not None:
            variable.owner.write(variable, value)
        else:
            variable.store(value)

    def _randomness(self) -> tuple[Any, Any]:
        self.count += 1
        return np.uint32(random.base_seed()), np.uint32(self.count)

    # -- preparation ------------------------------------------------------------------------

    def prepare(self, kind: str, data: Any) -> None:
        """See that all variables exist and that compiled steps fit the model as it is now."""
        version = structure_version()
        if version == self._version and kind in self._prepared:
            return
        x, _, _ = unpack(data)
        if self.model.computes:
            calling.ensure_built(self.model, (x,), {})
        now = signature(self.model)
        if now != self._signature:
            self.release()
            self._steps.clear()
            self._prepared.clear()
        if kind not in self._prepared:
            self._make_variables(kind, data)
            self._prepared.add(kind)
        self._collect()
        self._signature, self._version = signature(self.model), structure_version()

    def _make_variables(self, kind: str, data: Any) -> None:
        from plait.training.steps import Steps

        model = self.model
        if kind == "predict":
            return
        if kind == "train" and model.optimizer is not None:
            paths = variables_by_path(model)
            optimized = {*model.trainable_variables, *model.optimizer.optimized}
            model.optimizer.build({p: v for p, v in paths.items() if v in optimized})
        own = getattr(type(model), f"{kind}_step") is not getattr(Steps, f"{kind}_step")
        if own or type(model).compute_loss is not Steps.compute_loss:
            try:
                self._trace_abstractly(kind, data)
                return
            except jax.errors.ConcretizationTypeError:
                if not (model.run_eagerly and model.computes):
                    raise
        x, y, _ = unpack(data)
        specs = infer(model, (x,), {"training": kind == "train"} if _takes_training(model) else {})
        shapes = tree.map_structure(_struct, specs)
        model.objective.resolve(shapes, model.known_output_names, y)
        model.objective.build(y, shapes)

    def _trace_abstractly(self, kind: str, data: Any) -> None:
        """Run a user's step on abstract values, so that whatever it makes on first use exists."""
        structs = jax.tree.map(_struct, data)

        def abstract(values: Any) -> Any:
            with Scope(rng=jax.random.key(0), abstract=True):
                return getattr(self.model, f"{kind}_step")(pack(unpack(values)))

        jax.eval_shape(abstract, structs)

    def _collect(self) -> None:
        variables = list(variables_by_path(self.model).values())
        for optimizer in self.model.optimizers:
            variables += optimizer.variables
        for metric in self.model.metrics:
            variables += metric.variables
        variables = list(dict.fromkeys(variables))
        if variables != self._variables:
            self.release()
            self._steps.clear()
            self._variables = variables
            self._positions = {variable: index for index, variable in enumerate(variables)}

    # -- compilation ------------------------------------------------------------------------

    def _step(self, kind: str) -> _Step:
        if kind not in self._steps:
            names: list[str] = []
            function = self._pure_step(kind, names)
            if not self.model.run_eagerly:
                function = jax.jit(function, donate_argnums=(0,) if kind == "train" else ())
            self._steps[kind] = _Step(function, names)
        return self._steps[kind]

    def _pure_step(self, kind: str, names: list[str]) -> Callable[..., Any]:
        """Return a step as a pure function; it puts the names of its logs into `names`."""
        variables, positions = self._variables, self._positions
        method = getattr(self.model, f"{kind}_step")

        def step(state: list[Any], data: Any, seed: Any, number: Any) -> Any:
            self._traced = True
            values = dict(zip(variables, state, strict=True))
            with Scope(values, rng=jax.random.key(seed), step=number, closed=True) as scope:
                result = unwrapped(method(pack(unpack(data))))
            if kind != "predict":
                names[:] = [*result]
                result = [*result.values()]
            if kind == "train":
                return [scope.values[variable] for variable in variables], result
            changed = {positions[v]: value for v, value in scope.changed.items() if v in positions}
            return changed, result

        return step


class _Step(NamedTuple):
    """A compiled step and the names of its logs, known once it was traced."""

    function: Callable[..., Any]
    names: list[str]


def _takes_training(model: Model) -> bool:
    return "training" in type(model)._call_parameters


def _struct(leaf: Any) -> Any:
    if leaf is None or not hasattr(leaf, "shape"):
        return leaf
    shape = tuple(size if size is not None else 1 for size in leaf.shape)
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(leaf.dtype))
