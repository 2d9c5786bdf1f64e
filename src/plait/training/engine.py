"""The engine: compiled steps over a state that stays on the device.

A step is a method of the model (`train_step`, `test_step`, `predict_step`) run in a scope: the
values of every variable go in, those it assigns come out. It is traced once for each shape of
batch, and many of it run in one compiled call over a block of batches. While training, the engine
owns the values; a variable that is looked at reads a copy, one that is set writes into the state.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from plait import kernels
from plait.core import calling, random
from plait.core.infer import infer
from plait.core.scope import Scope
from plait.core.variable import unwrapped
from plait.core.waiting import wait_briefly
from plait.core.walk import changes, signature, structure_version, variables_by_path
from plait.graph import tree
from plait.training.blocks import Block, single
from plait.training.data import pack, unpack
from plait.training.program import (
    Program,
    Step,
    batches_in_a_block,
    in_background,
    trace,
)
from plait.training.rows import are_independent
from plait.training.state import State

if TYPE_CHECKING:
    from plait.models.model import Model

Logs = dict[str, Any]

_SECONDS_A_CALL = 0.1


class Engine:
    """Runs the steps of one model.

    Args:
        model: the model; its structure may change between steps, what that touches is traced anew.
        steps_per_execution: the steps of a call; None: the engine decides.

    Attributes:
        count: the steps so far; it makes the random numbers of each step new.
        state: the values of the variables while they train.
    """

    def __init__(self, model: Model, steps_per_execution: int | None = None) -> None:
        self.model = model
        self.count = 0
        self.state = State()
        self._chosen = steps_per_execution
        self._under_way: deque[_Call] = deque()
        self._last_end = 0.0
        self._steps: dict[Any, Step] = {}
        self._programs: dict[Any, Program] = {}
        self._independent: dict[Any, bool] = {}
        self._again: dict[Any, Program] = {}
        self._version = -1
        self._signature: Any = None
        self._prepared: set[str] = set()
        self._proven = False

    def release(self) -> None:
        """Write every value back to its variable and let go of them."""
        self._under_way.clear()
        self.state.release()

    def run(self, function: Callable[[], None]) -> None:
        """Run something that assigns variables (a reset of metrics) without giving up the state."""
        self.state.run(function)

    # -- how many steps a call --------------------------------------------------------------

    @property
    def decides(self) -> bool:
        """Whether nobody has said how many steps a call runs."""
        return self._chosen is None

    def batches_a_block(self, kind: str, batch: Any, most: int, every: bool) -> int:
        """Decide how many batches the engine gets at once: one, or as many as suit it.

        Many steps in one call cost no Python in between. One by one they run where somebody wants
        to come in after each, where the device is slower in a loop, and to debug.

        Args:
            kind: train, test or predict.
            batch: a batch to look at.
            most: the batches there are.
            every: somebody wants to come in after every step.
        """
        if self.model.run_eagerly:
            return 1
        if self._chosen is not None:
            return min(self._chosen, most)
        if every or most == 1:
            return 1
        block = single(batch)
        self.prepare(kind, block)
        step = self._step(kind, block)
        return batches_in_a_block(step, most) if step.loops_well else 1

    def steps_a_call(self, kind: str, block: Block) -> int:
        """Return how many steps the next call should run: as many as take a tenth of a second."""
        if block.batches == 1 or self._chosen is not None:
            return block.batches
        program = self._programs.get((kind, _types(block.data), kernels.chosen()))
        if program is None or program.seconds is None:
            return 1
        return max(int(_SECONDS_A_CALL / max(program.seconds, 1e-7)), 1)

    # -- calls ------------------------------------------------------------------------------

    def train(self, block: Block, first: int = 0, count: int = 1) -> Logs:
        """Run optimizer steps over batches of a block; return the logs so far, on the device."""
        return self._run("train", block, first, count)

    def test(self, block: Block, first: int = 0, count: int = 1) -> Logs:
        """Add batches of a block to the metrics; return the logs so far, on the device."""
        return self._run("test", block, first, count)

    def predict(self, block: Block, first: int = 0, count: int = 1) -> Any:
        """Return the outputs for all batches of a block, on the device, batch after batch."""
        return self._run("predict", block, first, count)

    def filled_up(self, block: Block, largest: int | None) -> tuple[Block, int | None]:
        """Return a batch to predict with rows added, to a size that is compiled for others too.

        The sizes are powers of two and `largest`. Where a row of the outputs depends on other rows
        the batch stays as it is.

        Returns:
            The block, and how many rows count; None: all.
        """
        structure, types = _types(block.data)
        rows = types[0][0][1]
        size = min(1 << (rows - 1).bit_length(), max(largest or 2**62, rows))
        key = structure, tuple((shape[2:], dtype) for shape, dtype in types)
        if _length(block) > 1 or size == rows or self.model.run_eagerly:
            return block, None
        self.prepare("predict", block)
        if self._independent.get(key) is False:
            return block, None
        filled = Block(jax.tree.map(lambda leaf: _filled(leaf, size), block.data), 1)
        if key not in self._independent:
            with kernels.using("xla"):  # which may be other kernels for the other size
                exact, larger = self._step("predict", block), self._step("predict", filled)
            self._independent[key] = are_independent(exact, larger)
        return (filled, rows) if self._independent[key] else (block, None)

    def predict_again(self, x: Any, largest: int | None = None) -> Any:
        """Return the outputs for one batch as NumPy arrays, None if it is not like an earlier one.

        It skips what has been checked and prepared when the earlier one came.
        """
        if not isinstance(x, np.ndarray) or structure_version() != self._version:
            return None
        program = self._again.get((x.shape, x.dtype, kernels.chosen()))
        if program is None or (largest is not None and x.shape[0] > largest):
            return None
        read = self.state.values(program.step.read)
        _, results = program.function()([], read, [x[None]], self._numbers(0, 1))
        wait_briefly(results)
        outputs = [np.asarray(result)[0] for result in results]
        return jax.tree.unflatten(program.step.results, outputs)

    def _run(self, kind: str, block: Block, first: int, count: int) -> Any:
        try:
            self.prepare(kind, block)
            if self.model.run_eagerly:
                return self._run_eagerly(kind, block)
            program = self._program(kind, block)
            call, step = program.function(), program.step
            state = self.state.own(step.changed) if kind == "train" else self.state.values()
            arguments = program.arguments(state, jax.tree.leaves(block.data))
            start = time.perf_counter()
            numbers = self._numbers(first, count)
            results = self.state.call(call, (*arguments, numbers), step.changed)
        except Exception:
            if not self._proven:
                self._forget()
                self.model.objective.forget_data()
            raise
        self._proven = self._proven or kind != "predict"
        if kind == "predict" and not step.changed and program.length == 1:
            self._note_again(block, program)
        self._keep_pace(_Call(program, count, results, start))
        returned = jax.tree.unflatten(step.results, results)
        return returned if kind == "predict" else returned.as_dict()

    def _note_again(self, block: Block, program: Program) -> None:
        x, _, _ = block.data
        if isinstance(x, np.ndarray):
            self._again[x.shape[1:], x.dtype, kernels.chosen()] = program

    def _run_eagerly(self, kind: str, block: Block) -> Any:
        values = dict(zip(self.state.variables, self.state.values(), strict=True))
        seed, number = self._numbers(0, 1)[:2]
        batch = jax.tree.map(lambda leaf: leaf[0], block.data)
        with Scope(values, rng=jax.random.key(seed), step=number, closed=True) as scope:
            result = unwrapped(getattr(self.model, f"{kind}_step")(pack(unpack(batch))))
        places = {self.state.place(variable): value for variable, value in scope.changed.items()}
        places.pop(None, None)
        self.state.replace([*places], [*places.values()])  # type: ignore[list-item]
        self._proven = self._proven or kind != "predict"
        if kind == "predict":
            return tree.map_structure(lambda leaf: leaf[None], result)
        return result

    def _numbers(self, first: int, count: int) -> np.ndarray:
        number = self.count + 1
        self.count += count
        return np.array([random.base_seed(), number, first, count], np.uint32)

    def _keep_pace(self, call: _Call) -> None:
        """Wait until no call but this one is under way, and note how long steps take.

        So the host prepares what comes next while the device works, and does not run away from it.
        The first call of a program is waited for: what comes next depends on its speed.
        """
        self._under_way.append(call)
        alone = call.program.length > 1 and call.program.seconds is None
        while len(self._under_way) > (0 if alone else 1):
            earlier = self._under_way.popleft()
            late = all(value.is_ready() for value in earlier.results)
            jax.block_until_ready(earlier.results)
            end = time.perf_counter()
            if not late or earlier.program.seconds is None:
                start = max(earlier.start, self._last_end)
                earlier.program.seconds = (end - start) / earlier.steps
            self._last_end = end
            self.state.drop_originals()

    # -- preparation ------------------------------------------------------------------------

    def prepare(self, kind: str, block: Block) -> None:
        """See that all variables exist and that the traced steps fit the model as it is now."""
        if structure_version() == self._version and kind in self._prepared:
            return
        data = jax.tree.map(_stand_in, block.data)
        x, _, _ = unpack(data)
        if self.model.computes:
            calling.ensure_built(self.model, (x,), {})
        if self._now() != self._signature:
            self._forget()
        if kind not in self._prepared:
            self._make_variables(kind, data)
            self._prepared.add(kind)
        self._collect()
        self._mark()

    def _forget(self) -> None:
        self._steps.clear()
        self._programs.clear()
        self._independent.clear()
        self._again.clear()
        self._prepared.clear()

    def _now(self) -> Any:
        optimizers = self.model.optimizers
        inner = [getattr(optimizer, "inner_optimizer", optimizer) for optimizer in optimizers]
        return signature(self.model), [(id(one), changes(one)) for one in (*optimizers, *inner)]

    def _mark(self) -> None:
        self._signature, self._version = self._now(), structure_version()

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
        if self.state.cover(list(dict.fromkeys(variables))):
            self._steps.clear()
            self._programs.clear()
            self._again.clear()

    # -- compilation ------------------------------------------------------------------------

    def _step(self, kind: str, block: Block) -> Step:
        """Return the traced step for batches like those of a block."""
        structure, types = _types(block.data)
        key = kind, structure, tuple((shape[1:], dtype) for shape, dtype in types), kernels.chosen()
        if key not in self._steps:
            state = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in self.state.variables]
            batch = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in key[2]]
            self._steps[key] = trace(self._pure_step(kind, structure), state, batch)
            # Attributes that the model set on itself while it was traced change nothing.
            self._mark()
        return self._steps[key]

    def _program(self, kind: str, block: Block) -> Program:
        key = kind, _types(block.data), kernels.chosen()
        if key not in self._programs:
            self._programs[key] = Program(
                self._step(kind, block),
                _length(block),
                donate=kind == "train",
                stacked=kind == "predict",
            )
        return self._programs[key]

    def _pure_step(self, kind: str, structure: Any) -> Callable[..., Any]:
        covered, method = self.state, getattr(self.model, f"{kind}_step")

        def step(state: list[Any], batch: list[Any], seed: Any, number: Any) -> Any:
            values = dict(zip(covered.variables, state, strict=True))
            data = jax.tree.unflatten(structure, batch)
            with Scope(values, rng=jax.random.key(seed), step=number, closed=True) as scope:
                result = unwrapped(method(pack(unpack(data))))
            changed = {covered.place(v): value for v, value in scope.changed.items()}
            changed.pop(None, None)
            if kind == "predict":
                return changed, result
            return changed, _Logs(tuple(result), list(result.values()))

        return step

    def compile_ahead(self, blocks: list[tuple[str, Block]]) -> None:
        """Compile what steps on blocks like these need, in the background."""
        if self.model.run_eagerly:
            return
        programs = []
        for kind, block in blocks:
            self.prepare(kind, block)
            programs.append(self._program(kind, block))
        in_background([program for program in programs if not program.is_ready])


@jax.tree_util.register_dataclass
@dataclass
class _Logs:
    """Logs in their order; JAX would sort a dict."""

    names: tuple[str, ...] = field(metadata={"static": True})
    values: list[Any]

    def as_dict(self) -> Logs:
        return dict(zip(self.names, self.values, strict=True))


class _Call(NamedTuple):
    """A call that is under way."""

    program: Program
    steps: int
    results: list[Any]
    start: float


def _length(block: Block) -> int:
    return int(jax.tree.leaves(block.data)[0].shape[0])


def _types(data: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the structure of data, and shapes and dtypes of the arrays in it; hashable."""
    leaves, structure = jax.tree.flatten(data)
    return structure, tuple(
        (leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype)) for leaf in leaves
    )


def _takes_training(model: Model) -> bool:
    return "training" in type(model)._call_parameters


def _stand_in(leaf: Any) -> Any:
    """Return an array like a batch of a block, without memory."""
    return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape[1:])


def _filled(leaf: Any, size: int) -> Any:
    """Return a block of one batch with its last row repeated up to a size."""
    more = [(0, 0), (0, size - leaf.shape[1]), *[(0, 0)] * (leaf.ndim - 2)]
    return np.pad(leaf, more, mode="edge")


def _struct(leaf: Any) -> Any:
    if leaf is None or not hasattr(leaf, "shape"):
        return leaf
    shape = tuple(size if size is not None else 1 for size in leaf.shape)
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(leaf.dtype))
