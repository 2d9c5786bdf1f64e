"""Find what makes NaN: `fit(nan="locate")` replays the step and names the layer.

Training runs many steps a call, and a loss that is NaN says nothing of where it began. `Watch`
keeps the state from before each call. When a call leaves NaN behind, its steps are run again one by
one, and the first bad one once more without compiling, with a look at every value that passes
between layers, forward and backward.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from plait.core.scope import Scope, current_scope
from plait.core.variable import Variable
from plait.errors import ConfigError, Location, ModelWarning, NanError
from plait.graph import tree
from plait.training.blocks import Block
from plait.training.data import pack

if TYPE_CHECKING:
    from plait.core.layer import Layer
    from plait.models.model import Model

Logs = dict[str, Any]

_GUARD = "keep values where it is finite: ops.log(ops.maximum(x, 1e-7)), a / (b + 1e-7)"
_AT_ZERO = "roots, norms and logarithms have no finite gradient at 0: ops.sqrt(x + 1e-7)"
_CALM = "lower the learning rate, or clip gradients: Adam(learning_rate=1e-4, clipnorm=1.0)"


class Watch:
    """Looks for NaN while a model trains.

    Args:
        model: the model.
        mode: "locate" to look after every call and name the place; None to warn at the end of an
            epoch whose loss is NaN, which costs nothing.

    Raises:
        ConfigError: `mode` is something else.
    """

    def __init__(self, model: Model, mode: str | None) -> None:
        if mode not in (None, "locate"):
            raise ConfigError(f"nan is None or 'locate'; received {mode!r}.", fix="nan='locate'")
        self._model, self._locates = model, mode == "locate"
        self._warned = False
        self._epoch = self._done = 0

    def begin(self, epoch: int, done: int) -> None:
        """Note that an epoch goes on after `done` of its batches."""
        self._epoch, self._done = epoch, done

    def end(self, logs: Logs) -> None:
        """Warn, once, of an epoch's loss that is NaN."""
        if not self._warned and np.isnan(logs.get("loss", 0.0)):
            self._warned = True
            warnings.warn(
                f"the loss is NaN in epoch {self._epoch + 1}.\nFix: fit(..., nan='locate') finds "
                "the batch, the layer and the line that make it.",
                ModelWarning,
                stacklevel=5,
            )

    def train(self, block: Block, first: int, count: int) -> Logs:
        """Run steps as `Engine.train`.

        Raises:
            NanError: a step made NaN; the model is as it was before that step.
        """
        engine = self._model._engine
        if not self._locates:
            return engine.train(block, first, count)
        engine.prepare("train", block)
        before, number = self._kept(), engine.count
        logs = engine.train(block, first, count)
        if self._is_sound(logs):
            self._done += count
            return logs
        self._put_back(before, number)
        for index in range(first, first + count):
            before, number = self._kept(), engine.count
            logs = engine.train(block, index, 1)
            if not self._is_sound(logs):
                self._put_back(before, number)
                batch = jax.tree.map(lambda leaf, index=index: leaf[index], block.data)
                raise self._explained(batch, number + 1)
            self._done += 1
        return logs

    # -- the state --------------------------------------------------------------------------

    def _kept(self) -> list[Any]:
        return [np.array(value) for value in self._model._engine.state.values()]

    def _put_back(self, values: list[Any], number: int) -> None:
        engine = self._model._engine
        engine.state.replace(range(len(values)), [jnp.array(value) for value in values])
        engine.count = number

    def _is_sound(self, logs: Logs) -> bool:
        return not np.isnan(logs.get("loss", 0.0)) and not self._broken()

    def _broken(self) -> list[Variable]:
        """Return the variables that hold NaN or infinity, but for metrics."""
        state = self._model._engine.state
        metrics = {variable for metric in self._model.metrics for variable in metric.variables}
        return [
            variable
            for variable, value in zip(state.variables, state.values(), strict=True)
            if variable not in metrics and _condition(value) != "finite"
        ]

    # -- the step ---------------------------------------------------------------------------

    def _explained(self, batch: Any, number: int) -> NanError:
        model = self._model
        when = f"epoch {self._epoch + 1}, batch {self._done + 1}"
        found = self._in_data(batch) or self._in_variables()
        if found is None:
            observer = _Observer(set(model.trainable_variables))
            logs, changed = self._run(batch, number, observer)
            found = observer.forward() or _in_loss(logs, observer) or observer.backward()
            found = found or _in_update(changed)
        phase, what, details, fix, layer = found
        error = NanError(f"NaN in {when}: {what}", details=details, fix=fix)
        error.epoch, error.batch = self._epoch + 1, self._done + 1
        error.phase, error.layer = phase, layer
        return error

    def _in_data(self, batch: Any) -> _Found | None:
        x, y, sample_weight = batch
        model = self._model
        for what, part, names in (
            ("input", x, model.input_names if model.has_graph else []),
            ("the targets of output", y, model.known_output_names or []),
            ("the sample weights of output", sample_weight, model.known_output_names or []),
        ):
            leaves = list(tree.leaves_with_path(part))
            for index, (path, leaf) in enumerate(leaves):
                if leaf is None or _condition(leaf) == "finite":
                    continue
                name = "/".join(map(str, path)) if isinstance(part, dict) else ""
                name = name or (names[index] if len(names) == len(leaves) else str(index))
                return _Found(
                    "data",
                    f"{what} '{name}' holds it.",
                    [("data", *_summary(leaf))],
                    "drop or fill these samples: keep = np.isfinite(x).all(axis=1)",
                )
        return None

    def _in_variables(self) -> _Found | None:
        broken = self._broken()
        if not broken:
            return None
        return _Found(
            "data",
            f"variable '{broken[0].path}' held it before the step.",
            [("variable", *_summary(broken[0].value))],
            "give it finite values: a file, set_weights or an earlier run put these in",
        )

    def _run(self, batch: Any, number: int, observer: _Observer) -> tuple[Logs, Any]:
        """Run the training step on a batch without compiling, and return what it made."""
        state = self._model._engine.state
        values = dict(zip(state.variables, map(jnp.asarray, state.values()), strict=True))
        batch = jax.tree.map(jnp.asarray, batch)
        seed = jax.random.key(np.uint32(_seed()))
        with Scope(values, rng=seed, step=np.uint32(number), closed=True) as scope:
            scope.observer = observer
            logs = self._model.train_step(pack(batch))
        metrics = {variable for metric in self._model.metrics for variable in metric.variables}
        return logs, {v: value for v, value in scope.changed.items() if v not in metrics}


def _seed() -> int:
    from plait.core import random

    return random.base_seed()


class _Found(NamedTuple):
    """What made NaN."""

    phase: str
    what: str
    details: list[tuple[str, ...]]
    fix: str
    layer: Layer | None = None


class _Event(NamedTuple):
    """A value that passed: where, and how it was."""

    phase: str
    side: str
    layer: Layer | None
    location: Location | None
    variable: Variable | None
    condition: str
    summary: tuple[str, ...]

    @property
    def who(self) -> str:
        return "the step" if self.layer is None else self.layer.describe(self.location)


class _Observer:
    """Looks at what goes into layers and comes out, forward and backward."""

    def __init__(self, variables: set[Variable]) -> None:
        self._variables = variables
        self._stack: list[tuple[Layer, Location | None]] = []
        self.events: list[_Event] = []

    def call(
        self, layer: Layer, location: Location | None, args: Any, run: Callable[..., Any]
    ) -> Any:
        """Run a layer's call, with a look at its tensors; see `Scope.observer`."""
        self._stack.append((layer, location))
        try:
            args, kwargs = self._tapped(args, "input")
            return self._tapped(run(args, kwargs), "output")
        finally:
            self._stack.pop()

    def read(self, variable: Variable, value: Any) -> Any:
        """Return a variable's value, looked at; see `Scope.observer`."""
        if variable not in self._variables:
            return value
        return self._tap("variable", variable)(value)

    def _tapped(self, structure: Any, side: str) -> Any:
        scope = current_scope()
        assert scope is not None

        def tapped(leaf: Any) -> Any:
            if not isinstance(leaf, jax.Array) or not jnp.issubdtype(leaf.dtype, jnp.floating):
                return leaf
            seen, mask = self._tap(side)(leaf), scope.get_mask(leaf)
            if mask is not None:
                scope.set_mask(seen, mask)
            return seen

        return tree.map_structure(tapped, structure)

    def _tap(self, side: str, variable: Variable | None = None) -> Callable[[Any], Any]:
        """Return the identity, which notes its argument and the gradient that comes back."""
        layer, location = self._stack[-1] if self._stack else (None, None)

        def note(phase: str, value: Any) -> None:
            if not isinstance(value, jax.core.Tracer):  # within a loop there is nothing to see
                how, seen = _condition(value), _summary(value)
                self.events.append(_Event(phase, side, layer, location, variable, how, seen))

        def forward(x: Any) -> tuple[Any, None]:
            note("forward", x)
            return x, None

        def backward(_: None, gradient: Any) -> tuple[Any]:
            note("backward", gradient)
            return (gradient,)

        tap = jax.custom_vjp(lambda x: forward(x)[0])
        tap.defvjp(forward, backward)
        return tap

    def forward(self) -> _Found | None:
        """Return which layer made NaN of finite inputs, or the infinity that became NaN."""
        events = [event for event in self.events if event.phase == "forward"]
        place = next((i for i, event in enumerate(events) if event.condition == "nan"), None)
        if place is None:
            return None
        made = [event for event in events[: place + 1] if event.side == "output"]
        first = next((event for event in made if event.condition != "finite"), events[place])
        inputs = [e for e in events if e.side == "input" and e.layer is first.layer]
        what = "NaN" if first.condition == "nan" else "infinity, which then becomes NaN,"
        return _Found(
            "forward",
            f"{first.who}, forward, makes {what} of finite input.",
            [*(("input", *event.summary) for event in inputs[:3]), ("output", *first.summary)],
            _GUARD if first.condition == "nan" else _CALM,
            first.layer,
        )

    def backward(self) -> _Found | None:
        """Return what made a gradient that is not finite."""
        events = [event for event in self.events if event.phase == "backward"]
        place = next((i for i, event in enumerate(events) if event.condition != "finite"), None)
        if place is None:
            return None
        event = events[place]
        if event.side == "output":
            before = any(e.condition == "finite" for e in events[:place])
            who = f"what follows {event.who}" if before else "the loss"
            about = "its predictions"
        else:
            who = event.who
            path = event.variable.path if event.variable is not None else ""
            about = f"'{path}'" if path else "its input"
        return _Found(
            "backward",
            f"{who}, backward: its gradient with respect to {about} is not finite.",
            [("gradient", *event.summary)],
            _AT_ZERO,
            event.layer if who == event.who else None,
        )


def _in_loss(logs: Logs, observer: _Observer) -> _Found | None:
    if not np.isnan(logs.get("loss", 0.0)):
        return None
    outputs = [e for e in observer.events if e.phase == "forward" and e.side == "output"]
    return _Found(
        "loss",
        "the loss, or what is added to it, makes NaN of finite predictions.",
        [("predictions", *event.summary) for event in outputs[-1:]],
        _GUARD,
    )


def _in_update(changed: dict[Variable, Any]) -> _Found:
    for variable, value in changed.items():
        if _condition(value) != "finite":
            return _Found(
                "optimizer",
                f"the optimizer makes '{variable.path}' of finite gradients.",
                [("new value", *_summary(value))],
                _CALM,
            )
    return _Found(
        "step",
        "the compiled step makes it, but its layers one by one do not.",
        [],
        "values are near the limits of their dtype: use float32, or " + _CALM,
    )


def _condition(value: Any) -> str:
    """Return "nan", "inf" or "finite"."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return "finite"
    array = np.asarray(value, np.float32)
    if np.isnan(array).any():
        return "nan"
    return "finite" if np.isfinite(array).all() else "inf"


def _summary(value: Any) -> tuple[str, ...]:
    """Return shape, range, and what is not finite, for a line of details."""
    return str(tuple(value.shape)), ", ".join(_parts(np.asarray(value, np.float32)))


def _parts(array: np.ndarray) -> Iterator[str]:
    finite = array[np.isfinite(array)]
    if finite.size:
        yield f"{finite.min():.4g} to {finite.max():.4g}"
    for name, wrong in (("NaN", np.isnan(array)), ("infinite", np.isinf(array))):
        if wrong.any():
            row = f", first in row {np.argwhere(wrong)[0][0]}" if array.ndim else ""
            yield f"{wrong.sum()} {name}{row}"
