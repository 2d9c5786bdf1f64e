"""Anything that holds data -> batches of ``(x, y, sample_weight)`` of NumPy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from plait.core import random
from plait.errors import ArgumentTypeError, ConfigError, DataError
from plait.graph import tree
from plait.training import frames
from plait.training.weights import ClassWeights

Batch = tuple[Any, Any, Any]


class Source(Protocol):
    """Batches, epoch after epoch.

    Attributes:
        num_batches: batches an epoch, None if not known before it ends.
        targets: all targets if they are in memory, else None.
    """

    num_batches: int | None
    targets: Any

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""


class PyDataset:
    """Data that you load batch by batch: give it a length and a ``[]``.

    Override `__len__` (batches an epoch) and `__getitem__` (batch number -> ``(x, y)`` or
    ``(x, y, sample_weight)``), and `on_epoch_begin` or `on_epoch_end` if you like.

    Args:
        workers: accepted for Keras' sake.
        use_multiprocessing: accepted for Keras' sake.
        max_queue_size: accepted for Keras' sake.

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


def unpack_validation(validation_data: Any) -> Batch:
    """Return ``(x, y, sample_weight)`` of what `fit` was given as validation data."""
    if isinstance(validation_data, tuple | list) and not hasattr(validation_data, "_fields"):
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
    if _gives_batches(x):
        if y is not None or sample_weight is not None:
            what = "y" if y is not None else "sample_weight"
            raise DataError(
                f"{what} is given beside a {type(x).__name__}, which gives its own.",
                fix="let it give (x, y) or (x, y, sample_weight)",
            )
        weights = ClassWeights(class_weight, None, output_names)
        return BatchSource(x, steps, shuffle, weights, input_names)
    x = to_arrays(x, "x", input_names)
    y = to_arrays(y, "y", output_names)
    sample_weight = to_arrays(sample_weight, "sample_weight", output_names)
    weights = ClassWeights(class_weight, y, output_names)
    return ArraySource(x, y, weights(y, sample_weight), batch_size or 32, steps, shuffle)


def _check_whole(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, int | np.integer) or value < 1):
        raise ConfigError(f"{name} is a whole number of at least 1; received {value!r}.")


def _gives_batches(x: Any) -> bool:
    if isinstance(x, PyDataset):
        return True
    if frames.is_frame(x) or hasattr(x, "shape") or isinstance(x, list | tuple | Mapping | str):
        return False
    return isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


# -- arrays ---------------------------------------------------------------------------------


def to_arrays(value: Any, what: str, names: Sequence[str] | None = None) -> Any:
    """Return nested arrays of what a user may write for them: numbers, arrays, frames, tensors.

    Raises:
        DataError: something in it is no array of numbers, named by its place.
    """
    if value is None:
        return None
    if frames.is_frame(value):
        value = frames.columns(value, names)
    if _is_numbers(value, names):
        value = np.asarray(value)
    if tree.is_leaf(value):
        return _array(value, what)
    paths = iter([path for path, _ in tree.leaves_with_path(value)])
    return tree.map_structure(lambda leaf: _array(leaf, f"{what}[{_shown(next(paths))}]"), value)


def _shown(path: tuple[str, ...]) -> str:
    return "][".join(part if part.isdigit() else repr(part) for part in path)


def _is_numbers(value: Any, names: Sequence[str] | None) -> bool:
    """Return whether a list is one array written out, rather than a list of arrays."""
    if not isinstance(value, list | tuple) or not value:
        return False
    if names is not None and len(names) > 1 and len(value) == len(names):
        return False
    return all(isinstance(leaf, int | float | bool) for leaf in tree.flatten(value))


def _array(leaf: Any, what: str) -> Any:
    if leaf is None:
        return None
    if frames.is_frame(leaf):
        leaf = frames.columns(leaf, None)
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
    if not _is_sliceable(leaf):
        try:
            leaf = np.asarray(leaf)
        except Exception as error:
            raise DataError(f"{what} is a {type(leaf).__name__}, which is no array.") from error
    kind = np.dtype(leaf.dtype).kind if _has_numpy_dtype(leaf) else "f"
    if kind not in "biufcV":
        raise DataError(
            f"{what} holds {leaf.dtype}, not numbers.",
            fix="turn text into numbers first, and give every sample the same shape",
        )
    if len(leaf.shape) == 0:
        raise DataError(
            f"{what} is a single number, not an array of samples.", fix="pass an array"
        )
    return leaf


def _is_sliceable(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) or (
        hasattr(leaf, "shape") and hasattr(leaf, "dtype") and type(leaf).__module__ == "h5py._hl.dataset"
    )


def _has_numpy_dtype(leaf: Any) -> bool:
    try:
        np.dtype(leaf.dtype)
    except TypeError:
        return False
    return True


def sample_count(x: Any) -> int:
    """Return the number of samples in arrays."""
    arrays = [leaf for leaf in tree.flatten(to_arrays(x, "x")) if leaf is not None]
    if not arrays:
        raise DataError("there are no data: x is None.")
    return max(int(arrays[0].shape[0]), 1)


def _check_lengths(x: Any, y: Any, sample_weight: Any) -> int:
    rows = []
    for what, value in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for path, leaf in tree.leaves_with_path(value):
            if leaf is not None:
                name = f"{what}[{_shown(path)}]" if path else what
                rows.append((name, int(leaf.shape[0]), tuple(leaf.shape)))
    sizes = {size for _, size, _ in rows}
    if len(sizes) > 1:
        raise DataError(
            f"the data have different numbers of samples: {', '.join(map(str, sorted(sizes)))}.",
            details=[(name, f"{size} samples", shape) for name, size, shape in rows],
            fix="every array needs one row for each sample",
        )
    if not sizes:
        raise DataError("there are no data: x is None.")
    return sizes.pop()


class ArraySource:
    """Batches cut from arrays in memory or mapped into it.

    Args:
        x: nested arrays with one row a sample.
        y: targets, or None.
        sample_weight: weights, or None.
        batch_size: the last batch may be smaller.
        steps: batches an epoch; default: as many as the data have.
        shuffle: draw the order anew whenever the data begin again.
    """

    def __init__(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int, steps: int | None, shuffle: bool
    ) -> None:
        self.size = _check_lengths(x, y, sample_weight)
        if self.size == 0:
            raise DataError("there are no data: x has no samples.")
        self.data = (x, y, sample_weight)
        self.targets = y
        self.batch_size, self.shuffle = batch_size, shuffle
        self._steps = steps
        self.num_batches: int | None = steps or -(-self.size // batch_size)
        self._running: Iterator[Batch] | None = None

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch; with `steps` it goes on where the last stopped."""
        if self._steps is None:
            yield from self._pass()
            return
        for _ in range(self._steps):
            if self._running is None:
                self._running = self._pass()
            batch = next(self._running, None)
            if batch is None:
                self._running = self._pass()
                batch = next(self._running)
            yield batch

    def _pass(self) -> Iterator[Batch]:
        order = None
        if self.shuffle:
            order = random.generator(None).permutation(self.size)
        for start in range(0, self.size, self.batch_size):
            stop = min(start + self.batch_size, self.size)
            rows = slice(start, stop) if order is None else order[start:stop]
            x, y, sample_weight = tree.map_structure(lambda leaf, r=rows: _rows(leaf, r), self.data)
            yield x, y, sample_weight


def _rows(leaf: Any, rows: Any) -> Any:
    if leaf is None:
        return None
    if isinstance(leaf, np.ndarray):
        return np.asarray(leaf[rows])
    if isinstance(rows, slice):
        return np.asarray(leaf[rows])
    ascending = np.argsort(rows)
    return np.asarray(leaf[rows[ascending]])[np.argsort(ascending)]


# -- batches --------------------------------------------------------------------------------


class BatchSource:
    """Batches that somebody else makes: an iterable, a generator, a `PyDataset`, a DataLoader.

    Args:
        batches: gives ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.
        steps: batches an epoch; needed for a generator that does not end.
        shuffle: of a `PyDataset`, draw the order of the batches anew each epoch.
        weights: class weights to multiply in.
        input_names: names of the model's inputs, for columns of frames.
    """

    def __init__(
        self,
        batches: Any,
        steps: int | None,
        shuffle: bool,
        weights: ClassWeights,
        input_names: Sequence[str] | None,
    ) -> None:
        self.batches, self.shuffle, self.weights = batches, shuffle, weights
        self.input_names = input_names
        self.targets = None
        self._steps = steps
        self.num_batches = steps if steps is not None else _length(batches)
        self._running: Iterator[Any] | None = None
        self._once = isinstance(batches, Iterator)
        self._epochs = 0

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch.

        Raises:
            DataError: a generator has nothing left.
        """
        self._epochs += 1
        given = 0
        for batch in self._raw():
            given += 1
            yield self._standard(batch)
        if given == 0:
            fix = "pass steps_per_epoch=..., or an iterable that can begin again (a list, a "
            raise DataError(
                f"the {type(self.batches).__name__} gave no batch for epoch {self._epochs}: a "
                "generator can be read only once."
                if self._once and self._epochs > 1
                else f"the {type(self.batches).__name__} gave no batch.",
                fix=fix + "DataLoader, a plait.utils.PyDataset)",
            )

    def _raw(self) -> Iterator[Any]:
        if self._steps is None:
            yield from self._pass()
            return
        if self._running is None:
            self._running = self._pass()
        for done in range(self._steps):
            batch = next(self._running, _END)
            if batch is _END and not self._once:
                self._running = self._pass()
                batch = next(self._running, _END)
            if batch is _END:
                if done:
                    warnings.warn(
                        f"the data ended after {done} of {self._steps} steps of this epoch; give "
                        "as many batches as steps x epochs.",
                        stacklevel=2,
                    )
                return
            yield batch

    def _pass(self) -> Iterator[Any]:
        batches = self.batches
        if not isinstance(batches, PyDataset):
            if hasattr(batches, "__iter__"):
                yield from batches
            else:
                yield from (batches[index] for index in range(len(batches)))
            return
        batches.on_epoch_begin()
        count = batches.num_batches
        if count is None:
            raise DataError(f"{type(batches).__name__} has no length.", fix="define __len__")
        order = random.generator(None).permutation(count) if self.shuffle else range(count)
        for index in order:
            yield batches[int(index)]
        batches.on_epoch_end()

    def _standard(self, batch: Any) -> Batch:
        x, y, sample_weight = unpack(batch)
        names = self.input_names
        x, y = to_arrays(x, "x of a batch", names), to_arrays(y, "y of a batch")
        sample_weight = to_arrays(sample_weight, "sample_weight of a batch")
        _check_lengths(x, y, sample_weight)
        return x, y, self.weights(y, sample_weight)


_END = object()


def _length(batches: Any) -> int | None:
    if isinstance(batches, PyDataset):
        return batches.num_batches
    try:
        return len(batches)
    except TypeError:
        return None


def split(x: Any, y: Any, sample_weight: Any, share: float) -> tuple[Batch, Batch]:
    """Split arrays into the first samples and the last `share` of them.

    Raises:
        ConfigError: `share` is not between 0 and 1.
        ArgumentTypeError: the data come in batches.
    """
    if not 0 < share < 1:
        raise ConfigError(f"validation_split is a share between 0 and 1; received {share}.")
    if _gives_batches(x):
        raise ArgumentTypeError(
            f"validation_split needs arrays; received a {type(x).__name__}.",
            fix="pass validation_data=... instead",
        )
    whole = x, y, sample_weight
    count = sample_count(x)
    kept = int(count * (1 - share))
    if kept == 0 or kept == count:
        raise DataError(f"validation_split={share} of {count} samples leaves one side empty.")

    def part(rows: slice) -> Batch:
        return tuple(frames.part(value, rows) for value in whole)  # type: ignore[return-value]

    return part(slice(0, kept)), part(slice(kept, None))
