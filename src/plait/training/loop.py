"""`compile`, `fit`, `evaluate`, `predict`: the loops around the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from plait import optimizers
from plait.core.scope import current_scope, value_and_grad
from plait.core.variable import Variable
from plait.core.walk import variables_by_path
from plait.errors import ConfigError, DataError, NotCompiledError
from plait.graph import tree
from plait.metrics import Metric
from plait.optimizers import Optimizer
from plait.training import data
from plait.training.callback import CallbackList, Logs, to_numbers
from plait.training.check import CheckedSource
from plait.training.data import Source, unpack
from plait.training.engine import Engine
from plait.training.history import History
from plait.training.objective import Objective
from plait.training.progress import Progress


class Trainer:
    """The training half of a model.

    Attributes:
        optimizer: what `compile` was given, as an object.
        objective: losses and metrics by output name.
        history: what the last `fit` returned.
        stop_training: set it to end `fit` after the current batch.
    """

    optimizer: Optimizer | None
    objective: Objective
    history: History
    stop_training: bool
    run_eagerly: bool

    def _init_training(self) -> None:
        self.optimizer = None
        self.objective = Objective()
        self.compiled = False
        self.stop_training = False
        self.run_eagerly = False
        self._compile_arguments: dict[str, Any] = {}
        self._engine = Engine(self)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        # These say nothing about the steps, so nothing compiles anew for them.
        if name in ("stop_training", "history"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # -- compile ----------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train: by which optimizer, towards which losses, measured by what.

        `loss`, `loss_weights`, `metrics` and `weighted_metrics` are for the only output, or lists
        in the order of the outputs, or dicts by output name that may leave outputs out.

        Args:
            optimizer: a name, an object, or an optax transformation.
            loss: names, functions ``(y_true, y_pred) -> losses``, or `Loss` objects.
            loss_weights: factors in the total loss.
            metrics: names (``"accuracy"`` is chosen by shapes), functions or `Metric` objects.
            weighted_metrics: metrics that use sample weights.
            run_eagerly: run steps without compiling, to debug.
            steps_per_execution: accepted for Keras' sake; the engine decides.
            jit_compile: accepted for Keras' sake; steps are always compiled.
            auto_scale_loss: wrap the optimizer in loss scaling under ``mixed_float16``.

        Raises:
            ConfigError: a name that does not exist.
        """
        chosen = optimizers.get(optimizer)
        scales = isinstance(chosen, optimizers.LossScaleOptimizer)
        if chosen is not None and not scales and auto_scale_loss and self._computes_in_float16():
            chosen = optimizers.LossScaleOptimizer(chosen)
        objective = Objective(loss, loss_weights, metrics, weighted_metrics)
        names = self.known_output_names
        if names is not None:
            objective.check(names)
        self._engine.release()
        self.optimizer = chosen
        self.objective = objective
        self.run_eagerly = run_eagerly
        self.compiled = True
        self._compile_arguments = {
            "optimizer": chosen,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self._engine = Engine(self)  # type: ignore[arg-type]
        self._look_over()

    def _look_over(self) -> None:
        """Warn of what looks wrong in what was compiled."""

    def _computes_in_float16(self) -> bool:
        from plait.core.walk import walk

        return any(layer.compute_dtype == "float16" for _, layer in walk(self))  # type: ignore[arg-type]

    @property
    def loss(self) -> Any:
        """What `compile` was given as loss."""
        return self.objective.loss

    @property
    def known_output_names(self) -> list[str] | None:
        """The names of the outputs if the model has a graph, else None."""
        return self.output_names if self.has_graph else None  # type: ignore[attr-defined]

    @property
    def optimizers(self) -> list[Optimizer]:
        """Every optimizer of the model: that of `compile` and those in attributes."""
        return _held(self, Optimizer)

    @property
    def metrics(self) -> list[Metric]:
        """Every metric: those of `compile`, and those in attributes of this model."""
        found = [*self.objective.metrics] if self.compiled else []
        found += _held(self, Metric)
        return list({id(metric): metric for metric in found}.values())

    @property
    def metrics_names(self) -> list[str]:
        """The names of the metrics."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Set every metric back to its beginning."""

        def reset() -> None:
            for metric in self.metrics:
                metric.reset_state()

        self._engine.run(reset)

    # -- one step: override these -----------------------------------------------------------

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the total loss of one batch: losses of the outputs and of the layers."""
        total = self.objective.total_loss(y, y_pred, sample_weight, self.known_output_names)
        for added in self.losses:  # type: ignore[attr-defined]
            summed = jnp.sum(added)
            total = summed if total is None else total + summed
        if total is None:
            raise NotCompiledError(
                f"{self.describe()} has no loss to minimize.",  # type: ignore[attr-defined]
                fix="model.compile(optimizer='adam', loss='mse'), or add_loss in a layer",
            )
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Logs:
        """Add one batch to the metrics and return their results so far."""
        self.objective.update_metrics(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> Logs:
        """Return name -> value of every metric."""
        results = self.objective.results() if self.compiled else {}
        own = {id(metric) for metric in self.objective.metrics}
        for metric in self.metrics:
            if id(metric) not in own:
                value = metric.result()
                results.update(value if isinstance(value, Mapping) else {metric.name: value})
        return results

    def train_step(self, data: Any) -> Logs:
        """Train on one batch and return logs; override it for a training scheme of your own.

        Variables are read and assigned as usual: ``plait.value_and_grad(function, variables)``
        gives gradients, ``optimizer.apply(gradients, variables)`` takes a step. It is compiled.

        Args:
            data: ``x``, ``(x, y)`` or ``(x, y, sample_weight)`` of one batch.
        """
        x, y, sample_weight = unpack(data)

        def forward() -> tuple[Any, Any]:
            y_pred = self._call_for_step(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            return self._required_optimizer().scale_loss(loss), (loss, y_pred)

        variables = self.trainable_variables  # type: ignore[attr-defined]
        (_, (loss, y_pred)), gradients = value_and_grad(forward, variables, has_aux=True)
        if variables:
            self._required_optimizer().apply(gradients, variables)
        self.objective.track_loss(loss, y_pred)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> Logs:
        """Evaluate one batch and return logs."""
        x, y, sample_weight = unpack(data)
        y_pred = self._call_for_step(x, training=False)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        self.objective.track_loss(loss, y_pred)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Return the outputs for one batch."""
        x, _, _ = unpack(data)
        return self._call_for_step(x, training=False)

    def _call_for_step(self, x: Any, training: bool) -> Any:
        if "training" in type(self)._call_parameters:  # type: ignore[attr-defined]
            return self(x, training=training)  # type: ignore[operator]
        scope = current_scope()
        assert scope is not None
        outer, scope.training = scope.training, training
        try:
            return self(x)  # type: ignore[operator]
        finally:
            scope.training = outer

    def _required_optimizer(self) -> Optimizer:
        if self.optimizer is None:
            raise NotCompiledError(
                f"{self.describe()} has no optimizer.",  # type: ignore[attr-defined]
                fix="model.compile(optimizer='adam', loss=...)",
            )
        return self.optimizer

    def _require_compiled(self, verb: str) -> None:
        if not self.compiled:
            raise NotCompiledError(
                f"{self.describe()} is not compiled, so it cannot {verb}.",  # type: ignore[attr-defined]
                fix="model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', "
                "metrics=['accuracy'])",
            )

    # -- fit --------------------------------------------------------------------------------

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

        Returns:
            The history: losses and metrics of each epoch.

        Raises:
            NotCompiledError: `compile` comes first.
            DataError: the data do not fit the model; nothing is trained.
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
            size = validation_batch_size or batch_size
            validation = self._source(vx, vy, vw, size, validation_steps)
        history = History()
        run = self._callbacks(
            [*_as_list(callbacks), history], verbose, source, epochs, initial_epoch
        )
        self.stop_training = False
        self.history = history
        self._required_optimizer()
        logs: Logs = {}
        with run:
            run.begin("train")
            try:
                for epoch in range(initial_epoch, epochs):
                    run.on_epoch_begin(epoch)
                    logs = self._epoch(source, run)
                    if validation is not None and _is_due(epoch, validation_freq):
                        validated = self._evaluate(validation, run)
                        logs |= {f"val_{name}": value for name, value in validated.items()}
                    run.on_epoch_end(epoch, logs)
                    if self.stop_training:
                        break
            finally:
                self._engine.release()
            self.optimizer.finalize_variable_values(self.trainable_variables)  # type: ignore[union-attr,attr-defined]
            run.end("train", logs)
        return history

    def _epoch(self, source: Source, run: CallbackList) -> Logs:
        self.reset_metrics()
        logs: Logs = {}
        for step, batch in enumerate(source.epoch()):
            run.batch_begin("train", step)
            logs = self._engine.train(batch)
            run.batch_end("train", step, logs)
            if self.stop_training:
                break
        return to_numbers(logs)

    def _evaluate(self, source: Source, run: CallbackList) -> Logs:
        run.begin("test")
        self.reset_metrics()
        source.restart()
        logs: Logs = {}
        for step, batch in enumerate(source.epoch()):
            run.batch_begin("test", step)
            logs = self._engine.test(batch)
            run.batch_end("test", step, logs)
        numbers = to_numbers(logs)
        run.end("test", numbers)
        return numbers

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
    ) -> Source:
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
        return CheckedSource(source, self)  # type: ignore[arg-type]

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
        level = 1 if verbose == "auto" else int(verbose)
        if isinstance(callbacks, CallbackList):
            return callbacks
        items = _as_list(callbacks)
        if level:
            items.append(Progress(level))
        params = {
            "epochs": epochs,
            "steps": source.num_batches,
            "verbose": level,
            "initial_epoch": initial_epoch,
        }
        return CallbackList(items, self, params)

    # -- evaluate and predict ---------------------------------------------------------------

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
        source = self._source(x, None, None, batch_size, steps)
        parts: list[Any] = []
        with self._callbacks(callbacks, verbose, source) as run:
            run.begin("predict")
            for step, batch in enumerate(source.epoch()):
                run.batch_begin("predict", step)
                outputs = self._engine.predict(batch)
                parts.append(tree.map_structure(_to_numpy, outputs))
                run.batch_end("predict", step, {"outputs": parts[-1]})
            run.end("predict")
        if not parts:
            raise DataError("predict received no data.", fix="pass at least one sample")
        return tree.map_structure(lambda *leaves: np.concatenate(leaves), parts[0], *parts[1:])

    # -- one batch --------------------------------------------------------------------------

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
        return _logs(self._engine.train(batch), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the loss and metrics of this batch alone, in test mode."""
        self._require_compiled("test")
        batch = self._one_batch(x, y, sample_weight, None)
        self.reset_metrics()
        return _logs(self._engine.test(batch), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch as NumPy arrays."""
        batch = self._one_batch(x, None, None, None)
        return tree.map_structure(_to_numpy, self._engine.predict(batch))

    def _one_batch(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
        source = self._source(
            x, y, sample_weight, None, None, whole=True, class_weight=class_weight
        )
        return next(source.epoch())

    def state_by_path(self) -> dict[str, Variable]:
        """Return path -> variable of the model and its optimizer."""
        found = variables_by_path(self)  # type: ignore[arg-type]
        if self.optimizer is not None:
            found |= {f"optimizer/{path}": v for path, v in self.optimizer.state.items()}
        return found


def _held(owner: Any, kind: type) -> list[Any]:
    """Return the objects of a kind that attributes hold, also in lists and dicts."""
    found = []
    for name, value in vars(owner).items():
        if name in ("_captured", "objective", "_compile_arguments"):
            continue
        leaves = tree.flatten(value) if isinstance(value, list | tuple | dict) else [value]
        found += [leaf for leaf in leaves if isinstance(leaf, kind)]
    return list({id(item): item for item in found}.values())


def _as_list(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
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


def _to_numpy(value: Any) -> Any:
    return np.asarray(value)


def _logs(logs: Mapping[str, Any], return_dict: bool) -> Any:
    numbers = to_numbers(logs)
    if return_dict:
        return numbers
    values = list(numbers.values())
    return values[0] if len(values) == 1 else values


