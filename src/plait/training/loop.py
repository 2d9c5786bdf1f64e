"""`fit`, `evaluate`, `predict`: the loops around the engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from plait.core.arguments import checked_arguments
from plait.errors import ConfigError, DataError
from plait.graph import tree
from plait.training import data
from plait.training.blocks import single
from plait.training.callback import Logs, to_numbers
from plait.training.callback_list import CallbackList
from plait.training.check import CheckedSource
from plait.training.data import Source
from plait.training.history import History
from plait.training.nan import Watch
from plait.training.outputs import Outputs
from plait.training.progress import Progress
from plait.training.resume import Run
from plait.training.steps import Steps


class Trainer(Steps):
    """The training half of a model: `compile`, steps, and the loops over data."""

    # -- fit --------------------------------------------------------------------------------

    @checked_arguments
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        resume: Any = None,
        nan: Literal["locate"] | None = None,
    ) -> History:
        """Train for a number of epochs.

        Args:
            x: arrays, lists or dicts of arrays by input name, a pandas or polars frame, an
                iterable or generator of ``(x, y)`` or ``(x, y, sample_weight)``, a `PyDataset`, a
                torch DataLoader.
            y: targets: arrays, lists, or a dict by output name that may leave outputs out.
            batch_size: default 32; None for data that comes in batches.
            epochs: the number of the epoch to end at.
            verbose: 0 silent, 1 a progress bar, 2 a line an epoch; "auto": 1.
            callbacks: objects of `plait.callbacks.Callback`.
            validation_split: the share of the samples, from the end, to validate on.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or any data `evaluate` takes.
            shuffle: draw the order of the samples anew each epoch.
            class_weight: class -> weight, or "balanced"; for several outputs a dict of these by
                output name. An output it leaves out is not weighted.
            sample_weight: one weight a sample (or a step of a sequence); a list or a dict by
                output name; a dict leaves the other outputs alone.
            initial_epoch: the number of the first epoch.
            steps_per_epoch: batches an epoch; default: all the data.
            validation_steps: batches of validation; default: all the data.
            validation_batch_size: default: `batch_size`.
            validation_freq: validate each so many epochs, or at the epochs listed (from 1).
            nan: "locate" to look for NaN after every call of the engine, which costs a copy of the
                state, and to name the batch, the layer, its line and forward or backward; without
                it, an epoch whose loss is NaN warns once.
            resume: a folder for checkpoints of this run, or `plait.saving.Checkpoints`. If it has
                one, training goes on from there as if it had never ended: the same script, killed
                and started again, gives the same weights and history. Data that come in batches
                are gone through again up to that place, without training. A run that is over
                trains nothing more.

        Returns:
            The history: losses and metrics of each epoch, those before `resume` included.

        Raises:
            NotCompiledError: `compile` comes first.
            DataError: the data do not fit the model; nothing is trained.
            NanError: with ``nan="locate"``, a step made NaN; the model is as it was before it.
            ConfigError: the checkpoint is that of another model, or of other data.
            FileError: a checkpoint cannot be written or read.
        """
        self._require_compiled("fit")
        _check_count("epochs", epochs)
        _check_count("initial_epoch", initial_epoch)
        _check_frequency(validation_freq)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = data.split(
                x, y, sample_weight, validation_split, *self._names_for_data()
            )
        source = self._source(
            x, y, sample_weight, batch_size, steps_per_epoch, shuffle=shuffle,
            class_weight=class_weight,
        )  # fmt: skip
        validation = None
        if validation_data is not None:
            vx, vy, vw = data.unpack_validation(validation_data)
            if vy is None and y is not None and isinstance(vx, np.ndarray):
                raise DataError(
                    f"validation_data is one array {vx.shape}: it has no targets.",
                    fix="validation_data=(x_val, y_val)",
                )
            size = validation_batch_size or batch_size
            validation = self._source(vx, vy, vw, size, validation_steps)
        history = History()
        watch = Watch(self, nan)  # type: ignore[arg-type]
        hooks = self._callbacks(
            [*_as_list(callbacks), history], verbose, source, epochs, initial_epoch
        )
        run = Run(self._checkpoints(resume, hooks), self, source, hooks)  # type: ignore[arg-type,attr-defined]
        self.stop_training = False
        self.history = history
        if type(self).train_step is Steps.train_step:
            self._required_optimizer()
        with hooks, run:
            hooks.begin("train")
            place = run.begin(initial_epoch)
            logs = place.logs
            try:
                for epoch in range(place.epoch, place.epoch if place.is_over else epochs):
                    hooks.on_epoch_begin(epoch)
                    logs = self._epoch(source, validation, hooks, run, watch, epoch)
                    if validation is not None and _is_due(epoch, validation_freq):
                        validated = self._evaluate(validation, hooks)
                        logs |= {f"val_{name}": value for name, value in validated.items()}
                    hooks.on_epoch_end(epoch, logs)
                    run.after_epoch(epoch, logs)
                    if self.stop_training:
                        break
                run.finish()
            finally:
                self._engine.release()
            if self.optimizer is not None:
                self.optimizer.finalize_variable_values(self.trainable_variables)  # type: ignore[attr-defined]
            hooks.end("train", logs)
        return history

    def _epoch(
        self,
        source: CheckedSource,
        validation: CheckedSource | None,
        hooks: CallbackList,
        run: Run,
        watch: Watch,
        epoch: int,
    ) -> Logs:
        self.reset_metrics()
        done, logs = run.begin_epoch()
        watch.begin(epoch, done)
        for call in self._calls("train", source, hooks, done, watch.train):
            logs = call.results
            hooks.batch_end("train", call.done - 1, logs)
            if self.stop_training:
                break
            run.after_steps(epoch, call.done, call.batches, logs)
            if call.is_first:
                self._compile_ahead(hooks, train=source, test=validation)
        numbers = to_numbers(logs)
        watch.end(numbers)
        return numbers

    def _evaluate(self, source: CheckedSource, run: CallbackList) -> Logs:
        run.begin("test")
        self.reset_metrics()
        source.restart()
        logs: Logs = {}
        for call in self._calls("test", source, run):
            logs = call.results
            run.batch_end("test", call.done - 1, logs)
            if call.is_first:
                self._compile_ahead(run, test=source)
        numbers = to_numbers(logs)
        run.end("test", numbers)
        return numbers

    def _calls(
        self,
        kind: str,
        source: CheckedSource,
        run: CallbackList,
        done: int = 0,
        steps: Callable[..., Any] | None = None,
    ) -> Iterator[_Call]:
        """Run the batches of an epoch, some a call; yield after each call.

        Args:
            kind: train, test or predict.
            source: the batches.
            run: the callbacks.
            done: the batches of this epoch that an earlier run did.
            steps: runs steps in place of the engine.
        """
        engine, is_first = self._engine, True
        length = functools.partial(self._block_length, kind, source, run)
        for block in source.blocks(length, early=engine.decides):
            first, rows = 0, None
            if kind == "predict":
                block, rows = engine.filled_up(block, source.batch_size)
            while first < block.batches:
                count = min(engine.steps_a_call(kind, block), block.batches - first)
                run.batch_begin(kind, done)
                results = (steps or getattr(engine, kind))(block, first, count)
                first, done = first + count, done + count
                yield _Call(first - count, count, done, is_first, rows, results)
                is_first = False

    def _block_length(self, kind: str, source: CheckedSource, run: CallbackList) -> int:
        if source.whole_batches == 0:
            return 1
        every = run.wants_every_batch(kind)
        return self._engine.batches_a_block(kind, source.peek(), source.whole_batches, every)

    def _compile_ahead(self, run: CallbackList, **sources: CheckedSource | None) -> None:
        """Compile what the rest of an epoch needs in the background, while its first steps run."""
        blocks = []
        for kind, source in sources.items():
            if source is not None and source.whole_batches:
                length = self._block_length(kind, source, run)
                blocks += [(kind, block) for block in source.samples(length)]
        self._engine.compile_ahead(blocks)

    def _source(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        steps: int | None,
        *,
        shuffle: bool = False,
        whole: bool = False,
        class_weight: Any = None,
    ) -> CheckedSource:
        input_names, output_names = self._names_for_data()
        source = data.make_source(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps,
            shuffle=shuffle,
            whole=whole,
            class_weight=class_weight,
            input_names=input_names,
            output_names=output_names,
        )
        return CheckedSource(source, self, class_weight)  # type: ignore[arg-type]

    def _names_for_data(self) -> tuple[list[str] | None, list[str] | None]:
        return self.input_names if self.has_graph else None, self.known_output_names  # type: ignore[attr-defined]

    def _callbacks(
        self,
        callbacks: Any,
        verbose: int | str,
        source: Source,
        epochs: int = 1,
        initial_epoch: int = 0,
    ) -> CallbackList:
        if verbose not in ("auto", 0, 1, 2):
            raise ConfigError(
                f"verbose is 'auto', 0, 1 or 2; received {verbose!r}.", fix="verbose=0"
            )
        level = 1 if verbose == "auto" else int(verbose)
        if isinstance(callbacks, CallbackList):
            return callbacks
        items = _as_list(callbacks)
        if level and not any(isinstance(item, Progress) for item in items):
            items.append(Progress(level))
        params: dict[str, Any] = {
            "epochs": epochs,
            "steps": source.num_batches,
            "verbose": level,
            "initial_epoch": initial_epoch,
        }
        return CallbackList(items, model=self, **params)

    # -- evaluate and predict ---------------------------------------------------------------

    @checked_arguments
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and the metrics over data, in test mode.

        Returns:
            The loss if there are no metrics; a list in the order of `metrics_names`; or, with
            `return_dict`, a dict.
        """
        self._require_compiled("evaluate")
        source = self._source(x, y, sample_weight, batch_size, steps)
        with self._callbacks(callbacks, verbose, source) as run:
            logs = self._evaluate(source, run)
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    @checked_arguments
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Return the outputs for data as NumPy arrays, computed batch by batch.

        Raises:
            DataError: the data do not fit the inputs, or there are none.
        """
        if verbose == 0 and callbacks is None and steps is None:
            outputs = self._engine.predict_again(x, batch_size or 32)
            if outputs is not None:
                return outputs
        source = self._source(x, None, None, batch_size, steps)
        outputs = Outputs(source.rows)
        with self._callbacks(callbacks, verbose, source) as run:
            run.begin("predict")
            waiting: _Call | None = None
            for call in self._calls("predict", source, run):
                if run.wants_every_batch("predict"):
                    run.batch_end("predict", call.done - 1, {"outputs": _fetch(call, outputs)})
                    continue
                run.batch_end("predict", call.done - 1, {})
                if waiting is not None:
                    _fetch(waiting, outputs)
                waiting = call
            if waiting is not None:
                _fetch(waiting, outputs)
            run.end("predict")
        result = outputs.result()
        if result is None:
            raise DataError("predict received no data.", fix="pass at least one sample")
        return result

    # -- one batch --------------------------------------------------------------------------

    @checked_arguments
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one optimizer step; return the loss and metrics of this batch alone, as in Keras."""
        self._require_compiled("train")
        batch = self._one_batch(x, y, sample_weight, class_weight)
        self.reset_metrics()
        return _logs(self._engine.train(single(batch)), return_dict)

    @checked_arguments
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the loss and metrics of this batch alone, in test mode."""
        self._require_compiled("test")
        batch = self._one_batch(x, y, sample_weight, None)
        self.reset_metrics()
        return _logs(self._engine.test(single(batch)), return_dict)

    @checked_arguments
    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch as NumPy arrays."""
        outputs = self._engine.predict_again(x)
        if outputs is not None:
            return outputs
        block = single(self._one_batch(x, None, None, None))
        return tree.map_structure(lambda leaf: np.asarray(leaf)[0], self._engine.predict(block))

    def _one_batch(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
        source = self._source(
            x, y, sample_weight, None, None, whole=True, class_weight=class_weight
        )
        return next(source.epoch())


def _as_list(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    return list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int | np.integer) or value < 0:
        raise ConfigError(
            f"fit: {name} is a whole number from 0; received {value!r}.", fix=f"{name}=10"
        )


def _is_due(epoch: int, frequency: int | Sequence[int]) -> bool:
    if isinstance(frequency, int | np.integer):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency


def _check_frequency(frequency: Any) -> None:
    number = isinstance(frequency, int | np.integer)
    wrong = frequency < 1 if number else not isinstance(frequency, Iterable)
    if wrong:
        raise ConfigError(
            f"fit: validation_freq is a number of epochs or a list of them; received "
            f"{frequency!r}.",
            fix="validation_freq=1 validates after every epoch",
        )


class _Call(NamedTuple):
    """A call of the engine.

    Attributes:
        first: the first batch of the block.
        batches: how many.
        done: the batches of this epoch that are done with these.
        is_first: whether it is the first of this epoch.
        rows: the rows of a batch whose outputs count.
        results: what it returned, on the device.
    """

    first: int
    batches: int
    done: int
    is_first: bool
    rows: int | None
    results: Any


def _fetch(call: _Call, outputs: Outputs) -> Any:
    """Fetch the outputs of a call and add them to the others."""

    def merged(leaf: Any) -> Any:
        part = np.asarray(leaf)[call.first : call.first + call.batches]
        if call.rows is not None:
            part = part[:, : call.rows]
        return part.reshape(-1, *part.shape[2:])

    part = tree.map_structure(merged, call.results)
    outputs.add(part)
    return part


def _logs(logs: Mapping[str, Any], return_dict: bool) -> Any:
    numbers = to_numbers(logs)
    if return_dict:
        return numbers
    values = list(numbers.values())
    return values[0] if len(values) == 1 else values
