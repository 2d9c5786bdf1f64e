"""Measure what each layer of a model costs: time, operations, bytes and memory.

The model is run once, and every call of a layer notes its inputs. Each is then compiled and timed
by itself on these inputs. XLA fuses across layers in the whole model, so the parts add up to more
than the whole, which is timed too.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from plait import kernels
from plait.core import random
from plait.core.calling import run_call
from plait.core.layer import Layer
from plait.core.scope import Scope, current_scope
from plait.core.variable import Variable
from plait.core.walk import variables_by_path
from plait.errors import ConfigError, Location
from plait.graph import tree
from plait.training.blocks import single
from plait.view.flops import count_flops
from plait.view.summary import _bytes, _scaled

if TYPE_CHECKING:
    from plait.models.model import Model

_SECONDS = 0.05  # of measuring a part


@dataclass(frozen=True, slots=True)
class Part:
    """What one call of a layer costs, for a batch.

    Attributes:
        name: the layer, with the names of the models and layers around it.
        kind: its class.
        location: the line that calls it.
        output_shape: nested as the layer returns it.
        forward: seconds.
        backward: seconds that the gradients take on top of that; None if not asked for.
        flops: floating-point operations forward.
        exact: False if some operations could not be counted, as those of native kernels.
        bytes: what is read and written forward, as XLA counts; where a native kernel computes, what
            goes in and comes out.
        memory: bytes of results and of what is kept meanwhile.
    """

    name: str
    kind: str
    location: Location | None
    output_shape: Any
    forward: float
    backward: float | None
    flops: int
    exact: bool
    bytes: int
    memory: int

    @property
    def seconds(self) -> float:
        """Forward and backward together."""
        return self.forward + (self.backward or 0.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model costs, whole and layer by layer; printed, it is a table.

    Attributes:
        name: the model's.
        parts: the calls of its layers in the order they run, those within nested models too.
        whole: seconds of the compiled model, or of the compiled training step.
        samples: the size of the batch.
        trains: whether the whole is a training step.
    """

    name: str
    parts: tuple[Part, ...]
    whole: float
    samples: int
    trains: bool

    def __str__(self) -> str:
        from rich.console import Console

        text, table = io.StringIO(), self.__rich__()
        width = Console(width=1000).measure(table).maximum
        Console(file=text, width=width).print(table)
        return text.getvalue().rstrip()

    __repr__ = __str__

    def __rich__(self) -> Any:
        from rich.table import Table

        what = "training step" if self.trains else "forward"
        table = Table(
            title=f"{self.name}: {what} of {self.samples} samples in {_time(self.whole)}, "
            f"{self.samples / self.whole:,.0f} samples/s",
            title_justify="left",
            caption="Layers are timed one by one; XLA fuses across them in the whole.",
            caption_justify="left",
        )
        total = sum(part.seconds for part in self.parts) or 1.0
        columns = [column for column in _COLUMNS if self.trains or column[0] != "Backward"]
        for heading, side, _ in columns:
            table.add_column(heading, justify=side, overflow="fold")  # type: ignore[arg-type]
        for part in self.parts:
            table.add_row(*(text(part, total) for _, _, text in columns))
        return table

    def save_trace(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the layers, one after the other, as a Chrome trace; return its path.

        Perfetto (ui.perfetto.dev), chrome://tracing and Speedscope open it.
        """
        events: list[dict[str, Any]] = []
        start = 0.0
        backward = [(part, "backward", part.backward) for part in self.parts[::-1]]
        passes = [(part, "forward", part.forward) for part in self.parts]
        for part, phase, seconds in [*passes, *backward]:
            if seconds is None:
                continue
            events.append(
                {
                    "name": part.name,
                    "cat": phase,
                    "ph": "X",
                    "ts": start * 1e6,
                    "dur": seconds * 1e6,
                    "pid": 1,
                    "tid": 1,
                    "args": {
                        "kind": part.kind,
                        "line": str(part.location or ""),
                        "output": str(part.output_shape),
                        "flops": part.flops,
                        "bytes": part.bytes,
                        "memory": part.memory,
                    },
                }
            )
            start += seconds
        path = pathlib.Path(path)
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
        return path


_COLUMNS: list[tuple[str, str, Callable[[Part, float], str]]] = [
    ("Layer (type)", "left", lambda part, _: f"{part.name} ({part.kind})"),
    ("Line", "left", lambda part, _: str(part.location or "")),
    ("Output", "left", lambda part, _: str(part.output_shape)),
    ("Forward", "right", lambda part, _: _time(part.forward)),
    ("Backward", "right", lambda part, _: _time(part.backward or 0.0)),
    ("Share", "right", lambda part, total: f"{part.seconds / total:.1%}"),
    ("FLOPs", "right", lambda part, _: _flops(part)),
    ("FLOP/s", "right", lambda part, _: _amount(part.flops / part.forward)),
    ("Bytes", "right", lambda part, _: _bytes(part.bytes)),
    ("Memory", "right", lambda part, _: _bytes(part.memory)),
]


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _amount(count: float) -> str:
    return _scaled(round(count), 1000, ("", " K", " M", " G", " T", " P"))


def _flops(part: Part) -> str:
    return _amount(part.flops) if part.exact else f"~{_amount(part.flops)}"


def profile(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    trace: str | os.PathLike[str] | None = None,
) -> Profile:
    """Measure what each layer of a model costs on a batch.

    Every layer is compiled and timed by itself on the inputs it gets in the model: the fastest of
    the runs of a twentieth of a second, the call of some 10 µs included. Layers within loops (the
    cell of an RNN) are part of the layer around them.

    Args:
        model: the model.
        x: one batch of inputs.
        y: targets: forward, backward and the training step are measured; without them forward at
            inference. Nothing is trained.
        sample_weight: weights of the samples.
        trace: a folder for ``layers.trace.json``, a Chrome trace of the layers, and for a trace of
            the whole by JAX's profiler, which Perfetto, TensorBoard and XProf open.

    Raises:
        DataError: the data do not fit the model.
        NotCompiledError: there are targets, but the model is not compiled.

    Example:
        >>> import numpy as np, plait
        >>> model = plait.Sequential([plait.Input((4,)), plait.layers.Dense(2, name="dense")])
        >>> profile = model.profile(np.ones((8, 4)))
        >>> [(part.name, part.flops) for part in profile.parts]
        [('dense', 144)]
    """
    trains = y is not None
    if trains:
        model._require_compiled("profile a training step")
    batch = model._one_batch(x, y, sample_weight, None)
    calls = _calls(model, batch[0], trains)
    if not calls:
        raise ConfigError(
            f"{model.describe()} calls no layers, so there is nothing to profile.",
            fix="profile a model made of layers",
        )
    parts = tuple(_measured(call, trains) for call in calls)
    step = _step(model, batch) if trains else _forward(model, batch[0])
    whole = _seconds(step)
    result = Profile(model.name, parts, whole, _samples(batch[0]), trains)
    if trace is not None:
        folder = pathlib.Path(trace)
        folder.mkdir(parents=True, exist_ok=True)
        with jax.profiler.trace(str(folder)):
            for _ in range(3):
                jax.block_until_ready(step())
        result.save_trace(folder / "layers.trace.json")
    return result


def _samples(x: Any) -> int:
    return int(next(leaf for leaf in tree.flatten(x) if leaf is not None).shape[0])


# -- what is called with what ---------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """A call of a layer, with values."""

    name: str
    layer: Layer
    location: Location | None
    args: Any
    training: bool | None
    masks: list[Any]


class _Calls:
    """Notes the calls of layers that call no others; see `Scope.observer`."""

    def __init__(self) -> None:
        self.found: list[_Call] = []
        self._open: list[str] = []
        self._seen = 0

    def call(
        self, layer: Layer, location: Location | None, args: Any, run: Callable[..., Any]
    ) -> Any:
        """Run a call and note it if it is concrete and no call within is."""
        scope = current_scope()
        assert scope is not None
        arrays = _arrays(args)
        masks = [scope.get_mask(array) for array in arrays]
        if any(isinstance(array, jax.core.Tracer) for array in arrays):
            return run(*args)
        self._open.append(layer.name)
        before, training = self._seen, scope.training
        outputs = run(*args)
        name = "/".join(self._open[1:]) or layer.name
        self._open.pop()
        if self._seen == before:
            self.found.append(_Call(name, layer, location, args, training, masks))
        self._seen += 1
        return outputs

    def read(self, variable: Variable, value: Any) -> Any:
        """Return the value."""
        return value


def _arrays(structure: Any) -> list[Any]:
    return [leaf for leaf in tree.flatten(structure) if isinstance(leaf, jax.Array | np.ndarray)]


def _key() -> Any:
    return jax.random.key(random.base_seed())


def _calls(model: Model, x: Any, trains: bool) -> list[_Call]:
    observer = _Calls()
    with Scope(rng=_key(), training=trains) as scope:
        scope.observer = observer
        model(tree.map_structure(lambda leaf: None if leaf is None else jnp.asarray(leaf), x))
    for call in observer.found:
        call.args = tree.map_structure(_concrete, call.args)
    return observer.found


def _concrete(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


# -- measuring ------------------------------------------------------------------------------


def _pure(call: _Call) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """Return a call as ``(values, arrays) -> outputs``, with these."""
    variables = list(variables_by_path(call.layer).values())
    values = [variable.concrete_value() for variable in variables]
    arrays = _arrays(call.args)
    template = tree.map_structure(
        lambda leaf: _ARRAY if isinstance(leaf, jax.Array) else leaf, call.args
    )

    def pure(values: list[Any], arrays: list[Any]) -> Any:
        remaining = iter(arrays)
        args, kwargs = tree.map_structure(
            lambda leaf: next(remaining) if leaf is _ARRAY else leaf, template
        )
        bound = dict(zip(variables, values, strict=True))
        with Scope(bound, rng=_key(), training=call.training, closed=True) as scope:
            for array, mask in zip(arrays, call.masks, strict=True):
                if mask is not None:
                    scope.set_mask(array, mask)
            outputs = run_call(call.layer, args, kwargs)
            # what it assigns is part of its work
            return outputs, list(scope.changed.values())

    return pure, values, arrays


_ARRAY = object()


def _measured(call: _Call, trains: bool) -> Part:
    pure, values, arrays = _pure(call)
    with kernels.using("xla"):  # whose operations are the ones that are counted
        flops, exact = count_flops(jax.jit(pure).trace(values, arrays).jaxpr)
    compiled = jax.jit(pure).lower(values, arrays).compile()
    outputs, _ = compiled(values, arrays)
    forward = _seconds(lambda: compiled(values, arrays))
    memory = compiled.memory_analysis()
    return Part(
        call.name,
        call.layer.display_name,
        call.location,
        tree.map_structure(lambda leaf: None if leaf is None else tuple(leaf.shape), outputs),
        forward,
        max(_with_gradients(pure, values, arrays) - forward, 0.0) if trains else None,
        flops,
        exact,
        _moved(compiled, (values, arrays, outputs)),
        int(memory.output_size_in_bytes + memory.temp_size_in_bytes) if memory else 0,
    )


def _moved(compiled: Any, around: Any) -> int:
    """Return the bytes read and written; XLA does not know those of native kernels."""
    counted = int(_analysis(compiled).get("bytes accessed", 0))
    return counted if counted >= 0 else sum(leaf.nbytes for leaf in jax.tree.leaves(around))


def _analysis(compiled: Any) -> dict[str, float]:
    found = compiled.cost_analysis() or {}
    return found[0] if isinstance(found, Sequence) else found


def _with_gradients(pure: Callable[..., Any], values: list[Any], arrays: list[Any]) -> float:
    """Return the seconds of a call and of its gradients, by variables and inputs."""
    places = [i for i, leaf in enumerate([*values, *arrays]) if _is_float(leaf)]

    def run(leaves: list[Any]) -> Any:
        def partly(floats: list[Any]) -> Any:
            filled = list(leaves)
            for place, value in zip(places, floats, strict=True):
                filled[place] = value
            outputs, changed = pure(filled[: len(values)], filled[len(values) :])
            leaves_out = [leaf for leaf in jax.tree.leaves(outputs) if _is_float(leaf)]
            return leaves_out, (outputs, changed)

        floats, pull, rest = jax.vjp(partly, [leaves[place] for place in places], has_aux=True)
        return rest, pull([jnp.ones_like(leaf) for leaf in floats])

    compiled = jax.jit(run).lower([*values, *arrays]).compile()
    return _seconds(lambda: compiled([*values, *arrays]))


def _is_float(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating))


def _forward(model: Model, x: Any) -> Callable[[], Any]:
    x = tree.map_structure(lambda leaf: None if leaf is None else jnp.asarray(leaf), x)
    masks = [None] * len(_arrays(x))
    pure, values, arrays = _pure(_Call(model.name, model, None, ((x,), {}), False, masks))
    compiled = jax.jit(pure).lower(values, arrays).compile()
    return lambda: compiled(values, arrays)


def _step(model: Model, batch: Any) -> Callable[[], Any]:
    """Return the training step, on a copy of the state that it gives back changed."""
    engine = model._engine
    block = single(batch)
    engine.prepare("train", block)
    step = engine._step("train", block)
    state = [jnp.asarray(value) for value in engine.state.values()]
    changed, read = ([state[place] for place in places] for places in (step.changed, step.read))
    leaves = [jnp.asarray(leaf)[0] for leaf in jax.tree.leaves(block.data)]
    numbers = np.uint32(random.base_seed()), np.uint32(1)
    compiled = jax.jit(step.run).lower(changed, read, leaves, *numbers).compile()
    return lambda: compiled(changed, read, leaves, *numbers)


def _seconds(run: Callable[[], Any]) -> float:
    """Return the time of the fastest of some calls: what slows others down is not theirs."""
    jax.block_until_ready(run())
    return min(_times(run))


def _times(run: Callable[[], Any]) -> Iterator[float]:
    end, count = time.perf_counter() + _SECONDS, 0
    while count < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        jax.block_until_ready(run())
        yield time.perf_counter() - start
        count += 1
