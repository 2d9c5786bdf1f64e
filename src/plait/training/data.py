"""Anything that holds data -> batches of ``(x, y, sample_weight)`` of NumPy arrays."""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np

from plait.core import random
from plait.errors import ArgumentTypeError, ConfigError, DataError
from plait.graph import tree
from plait.training import frames
from plait.training.arrays import (
    check_lengths,
    is_written_out,
    sample_count,
    take,
    to_arrays,
)
from plait.training.blocks import Block, Rows, Stage, single, stand_in
from plait.training.weights import ClassWeights

Batch = tuple[Any, Any, Any]

_FIRST = 8  # An early first block has one in so many batches of a whole one.


class Position(NamedTuple):
    """Where a run stands in its data.

    Attributes:
        taken: the batches taken from the pass over the data that is under way; 0: none is.
        seed: what the order of that pass was drawn from.
        state: what `PyDataset.get_state` gave when it began.
    """

    taken: int = 0
    seed: int | None = None
    state: Any = None


class Source(Protocol):
    """Batches, epoch after epoch.

    Attributes:
        num_batches: batches an epoch, None if not known before it ends.
        inputs: all inputs if they are in memory, else None.
        targets: all targets if they are in memory, else None.
        whole_batches: batches of that size that are in memory.
        rows: rows of an epoch, None if not known.
    """

    num_batches: int | None
    inputs: Any
    targets: Any
    whole_batches: int
    rows: int | None

    @property
    def batch_size(self) -> int | None:
        """Rows of a batch, None if they come as they come."""

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""

    def blocks(self, length: Callable[[], int], early: bool) -> Iterator[Block]:
        """Yield the batches of the next epoch in blocks, if several can be had at once.

        Args:
            length: says how many a block has; asked when the order is drawn.
            early: in a drawn order, let the first block have fewer, as nothing runs while its rows
                are gathered.
        """

    def samples(self, length: int) -> list[Block]:
        """Return a block of each kind that `blocks` yields, to look at its shapes."""

    def restart(self) -> None:
        """Let the next epoch begin with the first batch, if that can be had again."""

    def peek(self) -> Batch:
        """Return a batch to look at, without taking it."""

    def position(self, done: int | None = None) -> Position:
        """Return where the data stand after `done` batches of this epoch; None: it is over."""

    def resume(self, position: Position, done: int) -> None:
        """Let the next epoch go on where another run stood after `done` of its batches."""

    def describe(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on with these data, in words."""


class PyDataset:
    """Data that you load batch by batch: give it a length and a ``[]``.

    Override `__len__` (batches an epoch) and `__getitem__` (batch number -> ``(x, y)`` or
    ``(x, y, sample_weight)``), and `on_epoch_begin` or `on_epoch_end` if you like.

    Args:
        workers: with 2 or more, so many threads load the next batches while the model trains.
        use_multiprocessing: accepted for Keras' sake; threads load.
        max_queue_size: how many batches these load ahead.

    Example:
        >>> import numpy as np, plait
        >>> class Squares(plait.utils.PyDataset):
        ...     def __len__(self):
        ...         return 4
        ...     def __getitem__(self, index):
        ...         x = np.full((8, 1), index, "float32")
        ...         return x, x**2
        >>> len(Squares())
        4
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers, self.use_multiprocessing = workers, use_multiprocessing
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs __len__: batches an epoch.")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__(index) -> (x, y).")

    @property
    def num_batches(self) -> int | None:
        """The number of batches an epoch."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Do something before an epoch."""

    def on_epoch_end(self) -> None:
        """Do something after an epoch, for instance shuffle."""

    def get_state(self) -> Any:
        """Return what `set_state` needs to give the same batches again, if not all is in the index.

        That is the order if `on_epoch_end` shuffles: numbers, strings, arrays, and lists and dicts
        of them. Checkpoints of ``fit(resume=...)`` keep it.
        """

    def set_state(self, state: Any) -> None:
        """Take what `get_state` returned before the epoch that a killed run was in."""


def unpack(data: Any) -> Batch:
    """Return ``(x, y, sample_weight)`` of a batch: ``x``, ``(x,)``, ``(x, y)`` or all three.

    Raises:
        DataError: a batch of more than three parts.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple) or hasattr(data, "_fields"):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"a batch has {len(data)} parts; it is x, (x, y) or (x, y, sample_weight).",
            fix="group several inputs in a list or dict of their own: ([a, b], y)",
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def pack(batch: Batch) -> Any:
    """Return a batch as a step of the user's receives it: `x`, `(x, y)` or all three, as in Keras.

    An `x` that is a list or tuple and comes alone is `(x,)`, so that `unpack` finds it again.
    """
    x, y, sample_weight = batch
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, list | tuple) else x


def unpack_validation(validation_data: Any) -> Batch:
    """Return ``(x, y, sample_weight)`` of what `fit` was given as validation data."""
    named = hasattr(validation_data, "_fields")
    if (
        isinstance(validation_data, tuple | list)
        and not named
        and not _is_list_of_batches(validation_data, None)
    ):
        return unpack(tuple(validation_data))
    return validation_data, None, None


def make_source(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool = False,
    whole: bool = False,
    class_weight: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Source:
    """Return a source of batches for what a user may call data.

    Args:
        x: arrays, frames, or something that gives batches.
        y: targets; not with batches that hold their own.
        sample_weight: weights of samples; not with such batches either.
        batch_size: default 32 for arrays.
        whole: instead, arrays are one batch.
        steps: batches an epoch.
        shuffle: draw the order of the samples anew each epoch.
        class_weight: see `ClassWeights`.
        input_names: names of the model's inputs, for columns of frames.
        output_names: names of the model's outputs.

    Raises:
        DataError: the data are inconsistent.
        ArgumentTypeError: they are nothing that holds data.
    """
    _check_whole("batch_size", batch_size)
    _check_whole("steps", steps)
    if x is None:
        raise DataError("there are no data: x is None.", fix="model.fit(x, y)")
    if _gives_batches(x) or (y is None and _is_list_of_batches(x, input_names)):
        if y is not None or sample_weight is not None:
            what = "y" if y is not None else "sample_weight"
            raise DataError(
                f"{what} is given beside a {type(x).__name__}, which gives its own.",
                fix="let it give (x, y) or (x, y, sample_weight)",
            )
        weights = ClassWeights(class_weight, None, output_names)
        return BatchSource(x, steps, shuffle, weights, input_names, output_names)
    _check_number_of_inputs(x, y, input_names)
    x = to_arrays(x, "x", input_names)
    y = to_arrays(y, "y", output_names)
    sample_weight = to_arrays(sample_weight, "sample_weight", output_names)
    weights = ClassWeights(class_weight, y, output_names)
    if batch_size is None:
        batch_size = sample_count(x) if whole else 32
    check_lengths(x, y, sample_weight)
    return ArraySource(x, y, weights(y, sample_weight), batch_size, steps, shuffle)


def _check_whole(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, int | np.integer) or value < 1):
        raise ConfigError(
            f"{name} is a whole number of at least 1; received {value!r}.",
            fix=f"{name}={32 if name == 'batch_size' else 100}, or leave it out",
        )


def _gives_batches(x: Any) -> bool:
    if isinstance(x, PyDataset):
        return True
    if frames.is_frame(x) or hasattr(x, "shape") or isinstance(x, list | tuple | Mapping | str):
        return False
    return isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def _check_number_of_inputs(x: Any, y: Any, names: Sequence[str] | None) -> None:
    if names is None or not isinstance(x, list | tuple) or is_written_out(x, names):
        return
    count = len(tree.flatten(x))
    if count == len(names):
        return
    wanted = f"{len(names)} input{'' if len(names) == 1 else 's'}"
    fix = "pass one array for each input, or a dict by input name"
    if len(names) == 1:
        fix = "x = np.stack(x), if each of them is one sample"
        if y is None and count == 2:
            fix = "x and y are two arguments: model.fit(x, y)"
    raise DataError(
        f"the model has {wanted} ({', '.join(map(repr, names))}); x holds {count} arrays.", fix=fix
    )


def _is_list_of_batches(x: Any, input_names: Sequence[str] | None) -> bool:
    """Return whether `x` is a list of ``(x, y)`` rather than of nested inputs."""
    if not (isinstance(x, list) and x and all(isinstance(item, tuple) for item in x)):
        return False
    return input_names is None or len(tree.flatten(x)) != len(input_names)


# -- epochs ---------------------------------------------------------------------------------


class _Epochs:
    """Cuts passes over data into epochs, as Keras does.

    Without `steps` an epoch is a pass. With them it is so many batches, and the next epoch goes on
    where it stopped; when the data end within an epoch, that epoch is over.

    Args:
        steps: batches an epoch, or None.
        once: the data cannot begin again.
        draws: each pass draws its order from a seed.
    """

    def __init__(self, steps: int | None, once: bool = False, draws: bool = False) -> None:
        self._steps, self._once, self._draws = steps, once, draws
        self._running: Iterator[Any] | None = None
        self._now = Position()  # where the epoch under way began
        self._next = Position()  # where the next one will
        self._done = 0  # the batches of the next epoch that an earlier run took

    def _pass(self, position: Position) -> Iterator[Any]:
        """Yield the batches of one pass over the data that come after a position in it."""
        raise NotImplementedError

    def _state(self) -> Any:
        """Return the state of the data themselves."""
        return None

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""
        raise NotImplementedError

    whole_batches = 0
    rows: int | None = None

    @property
    def batch_size(self) -> int | None:
        """Rows of a batch, None if they come as they come."""
        return None

    def blocks(self, length: Callable[[], int], early: bool) -> Iterator[Block]:
        """Yield the batches of the next epoch, each as a block."""
        return map(single, self.epoch())

    def samples(self, length: int) -> list[Block]:
        """Return a block of each kind that `blocks` yields, as far as they are known."""
        return []

    def restart(self) -> None:
        """Let the next epoch begin with the first batch, if that can be had again."""
        self._running = None

    def position(self, done: int | None = None) -> Position:
        """Return where the data stand after `done` batches of this epoch; None: it is over."""
        if done is None:
            return self._next if self._running is not None else Position(state=self._state())
        return self._now._replace(taken=self._now.taken + done)

    def resume(self, position: Position, done: int) -> None:
        """Let the next epoch go on where another run stood after `done` of its batches."""
        self._next = position._replace(taken=position.taken - done)
        self._done = done
        self._running = self._pass(position) if position.taken else None

    def _begin(self) -> Iterator[Any]:
        seed = random.next_seed() if self._draws else None
        self._now = Position(0, seed, self._state())
        return self._pass(self._now)

    def _batches(self) -> Iterator[Any]:
        running, self._running = self._running, None
        done, self._done = self._done, 0
        fresh = running is None
        if running is None:
            running = self._begin()
        else:
            self._now = self._next
        while self._steps is None or done < self._steps:
            batch = next(running, _END)
            if batch is _END and done == 0 and not fresh and not self._once:
                running = self._begin()
                batch = next(running, _END)
            if batch is _END:
                if done and self._steps is not None:
                    warnings.warn(
                        f"the data ended after {done} of {self._steps} steps of this epoch; give "
                        "as many batches as steps x epochs.",
                        stacklevel=2,
                    )
                return
            done += 1
            yield batch
        self._next = self._now._replace(taken=self._now.taken + done)
        self._running = running


_END = object()


class ArraySource(_Epochs):
    """Batches cut from arrays in memory or mapped into it.

    Args:
        x: nested arrays with one row a sample.
        y: targets, or None.
        sample_weight: weights, or None.
        batch_size: the last batch may be smaller.
        steps: batches an epoch; default: as many as the data have.
        shuffle: draw the order anew whenever the data begin again.

    Raises:
        DataError: the numbers of samples differ, or there are none.
    """

    def __init__(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int, steps: int | None, shuffle: bool
    ) -> None:
        super().__init__(steps, draws=shuffle)
        self.size = check_lengths(x, y, sample_weight)
        if self.size == 0:
            raise DataError("there are no data: x has no samples.", fix="pass at least one")
        self.data = (x, y, sample_weight)
        self.inputs, self.targets = x, y
        self._batch_size = batch_size
        self.shuffle = shuffle
        self.whole_batches = self.size // batch_size
        self.rows = self.size if steps is None else None
        self.num_batches: int | None = steps or -(-self.size // batch_size)
        self._stage: Stage | None = None

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self._batch_size

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""
        return map(self._taken, self._batches())

    def blocks(self, length: Callable[[], int], early: bool) -> Iterator[Block]:
        """Yield the batches of the next epoch in blocks; a smaller last batch is one by itself."""
        batches = self._batches()
        first = next(batches, None)
        if first is None:
            return
        size, rows = length(), itertools.chain([first], batches)
        at_first = max(size // _FIRST, 1) if early and first.order is not None else size
        if self._stage is None or self._stage.length != size:
            self._stage = Stage(self.data, self.batch_size, size)
        for joined in _joined(rows, self.batch_size, at_first, size):
            if joined.stop - joined.start < self.batch_size:
                yield single(self._taken(joined))
            else:
                yield self._stage.block(joined)

    def samples(self, length: int) -> list[Block]:
        """Return a block of each kind that `blocks` yields, without their values."""
        shapes = [(length, self.batch_size)] if self.whole_batches else []
        rest = self.size % self.batch_size
        if rest and (self._steps is None or self._steps > self.whole_batches):
            shapes.append((1, rest))

        def block(shape: tuple[int, int]) -> Block:
            data = tree.map_structure(lambda leaf: stand_in(leaf, shape), self.data)
            return Block(data, shape[0])

        return [block(shape) for shape in shapes]

    def peek(self) -> Batch:
        """Return the first batch, in the order of the arrays."""
        return self._taken(Rows(None, 0, min(self.batch_size, self.size)))

    def describe(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on with these data, in words."""
        steps = {"steps an epoch": self.num_batches}
        return {"samples": self.size, "batch size": self.batch_size, **steps,
                "shuffle": self.shuffle}  # fmt: skip

    def _pass(self, position: Position) -> Iterator[Rows]:
        order = None
        if position.seed is not None:
            order = random.generator(position.seed).permutation(self.size)
        for start in range(position.taken * self.batch_size, self.size, self.batch_size):
            yield Rows(order, start, min(start + self.batch_size, self.size))

    def _taken(self, rows: Rows) -> Batch:
        return tree.map_structure(lambda leaf: take(leaf, rows.index), self.data)  # type: ignore[no-any-return]


def _joined(rows: Iterator[Rows], batch_size: int, most: int, length: int) -> Iterator[Rows]:
    """Join whole batches that follow each other: at first up to `most`, then `length` of them."""
    joined: Rows | None = None
    for batch in rows:
        if joined is not None:
            follows = batch.order is joined.order and batch.start == joined.stop
            whole = batch.stop - batch.start == batch_size
            if follows and whole and joined.stop - joined.start < most * batch_size:
                joined = joined._replace(stop=batch.stop)
                continue
            yield joined
            most = length
        joined = batch
    if joined is not None:
        yield joined


class BatchSource(_Epochs):
    """Batches that somebody else makes: an iterable, a generator, a `PyDataset`, a DataLoader.

    Nothing is taken before it is needed, and nothing in another thread: the next batch is made
    while the device is at work on the last one, because nobody waits for that. Threads of its own
    has a `PyDataset` with workers, and a DataLoader.

    Args:
        batches: gives ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.
        steps: batches an epoch; needed for a generator that does not end.
        shuffle: of a `PyDataset`, draw the order of the batches anew each epoch.
        weights: class weights to multiply in.
        input_names: names of the model's inputs, for columns of frames.
        output_names: names of its outputs.
    """

    def __init__(
        self,
        batches: Any,
        steps: int | None,
        shuffle: bool,
        weights: ClassWeights,
        input_names: Sequence[str] | None,
        output_names: Sequence[str] | None,
    ) -> None:
        draws = shuffle and isinstance(batches, PyDataset)
        super().__init__(steps, once=isinstance(batches, Iterator), draws=draws)
        self.batches, self.shuffle, self.weights = batches, shuffle, weights
        self._kind = type(batches).__name__
        self.input_names, self.output_names = input_names, output_names
        self.inputs = self.targets = None
        self.num_batches = steps if steps is not None else _length(batches)
        self._epochs = 0

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch.

        Raises:
            DataError: a generator has nothing left.
        """
        self._epochs += 1
        given = self._done
        for batch in self._batches():
            given += 1
            yield self._standard(batch)
        if given == 0:
            fix = "pass steps_per_epoch=..., or an iterable that can begin again (a list, a "
            raise DataError(
                f"the {self._kind} gave no batch for epoch {self._epochs}: a "
                "generator can be read only once."
                if self._once and self._epochs > 1
                else f"the {self._kind} gave no batch.",
                fix=fix + "DataLoader, a plait.utils.PyDataset)",
            )

    def peek(self) -> Batch:
        """Return the first batch of what is left."""
        if isinstance(self.batches, PyDataset):
            return self._standard(self.batches[0])
        batches = iter(self._all())
        first = next(batches, _END)
        if first is _END:
            raise DataError(f"the {self._kind} gave no batch.", fix="pass data that are not empty")
        if self._once:
            self.batches = itertools.chain([first], batches)
        return self._standard(first)

    def describe(self) -> dict[str, Any]:
        """Return what must be the same for a run to go on with these data, in words."""
        return {"data": self._kind, "steps an epoch": self.num_batches, "shuffle": self.shuffle}

    def resume(self, position: Position, done: int) -> None:
        """Let the next epoch go on where another run stood after `done` of its batches."""
        super().resume(position, done)
        if isinstance(self.batches, PyDataset) and position.state is not None:
            self.batches.set_state(position.state)

    def _state(self) -> Any:
        return self.batches.get_state() if isinstance(self.batches, PyDataset) else None

    def _all(self) -> Iterable[Any]:
        batches = self.batches
        return batches if hasattr(batches, "__iter__") else _items(batches)

    def _pass(self, position: Position) -> Iterator[Any]:
        batches = self.batches
        if not isinstance(batches, PyDataset):
            # Not `yield from`: that would close a generator when an epoch stops early.
            for batch in itertools.islice(self._all(), position.taken, None):  # noqa: UP028
                yield batch
            return
        batches.on_epoch_begin()
        count = batches.num_batches
        if count is None:
            raise DataError(f"{type(batches).__name__} has no length.", fix="define __len__")
        draw = None if position.seed is None else random.generator(position.seed)
        order = range(count) if draw is None else draw.permutation(count)
        indices = [int(index) for index in order[position.taken :]]
        if batches.workers > 1:
            yield from _loaded_ahead(batches, indices)
        else:
            for index in indices:
                yield batches[index]
        batches.on_epoch_end()

    def _standard(self, batch: Any) -> Batch:
        x, y, sample_weight = unpack(batch)
        x = to_arrays(x, "x of a batch", self.input_names)
        y = to_arrays(y, "y of a batch", self.output_names)
        sample_weight = to_arrays(sample_weight, "sample_weight of a batch", self.output_names)
        if check_lengths(x, y, sample_weight) == 0:
            raise DataError(
                f"the {self._kind} gave a batch without samples.",
                fix="leave such batches out",
            )
        return x, y, self.weights(y, sample_weight)


def _loaded_ahead(batches: PyDataset, indices: list[int]) -> Iterator[Any]:
    """Yield batches in their order while threads load those that come next."""
    pool = ThreadPoolExecutor(batches.workers, "plait-load")
    waiting: deque[Future[Any]] = deque()
    try:
        for index in indices:
            waiting.append(pool.submit(batches.__getitem__, index))
            if len(waiting) > max(batches.max_queue_size, batches.workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _items(batches: Any) -> Iterator[Any]:
    for index in range(len(batches)):
        yield batches[index]


def _length(batches: Any) -> int | None:
    if isinstance(batches, PyDataset):
        return batches.num_batches
    try:
        return len(batches)
    except TypeError:
        return None


def split(
    x: Any,
    y: Any,
    sample_weight: Any,
    share: float,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> tuple[Batch, Batch]:
    """Split arrays into the first samples and the last `share` of them.

    Raises:
        ConfigError: `share` is not between 0 and 1.
        ArgumentTypeError: the data come in batches.
        DataError: the data are inconsistent, or one side would be empty.
    """
    if not 0 < share < 1:
        raise ConfigError(
            f"validation_split is a share between 0 and 1; received {share}.",
            fix="validation_split=0.2",
        )
    if _gives_batches(x) or (y is None and _is_list_of_batches(x, input_names)):
        raise ArgumentTypeError(
            f"validation_split needs arrays; received a {type(x).__name__} of batches.",
            fix="pass validation_data=... instead",
        )
    arrays = (
        to_arrays(x, "x", input_names),
        to_arrays(y, "y", output_names),
        to_arrays(sample_weight, "sample_weight", output_names),
    )
    count = check_lengths(*arrays)
    kept = int(count * (1 - share))
    if kept == 0 or kept == count:
        raise DataError(
            f"validation_split={share} of {count} samples leaves one side empty.",
            fix="pass more samples, or validation_data=... instead",
        )

    def part(rows: slice) -> Batch:
        return tree.map_structure(lambda leaf: take(leaf, rows), arrays)  # type: ignore[no-any-return]

    return part(slice(0, kept)), part(slice(kept, None))
