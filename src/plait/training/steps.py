"""`compile`, and what one step does: the methods of a model that can be overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from plait import optimizers
from plait.core.arguments import checked_arguments
from plait.core.scope import current_scope, value_and_grad
from plait.errors import NotCompiledError
from plait.graph import tree
from plait.metrics import Metric
from plait.optimizers import Optimizer
from plait.training.callback import Logs
from plait.training.data import unpack
from plait.training.engine import Engine
from plait.training.history import History
from plait.training.objective import Objective

_PLAIN = int | float | str | bytes | np.ndarray | None


class Steps:
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
        self._foreign: set[str] = set()
        self.optimizer = None
        self.objective = Objective()
        self.compiled = False
        self.stop_training = False
        self.run_eagerly = False
        self._engine = Engine(self)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("stop_training", "history") or self._is_foreign(name, value):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _is_foreign(self, name: str, value: Any) -> bool:
        """Return whether an attribute says nothing about the steps, so that none is traced anew.

        Such is a counter that a callback keeps on a model whose class is plait's own.
        """
        if type(self).__module__.partition(".")[0] != "plait" or hasattr(type(self), name):
            return False
        own = name in self.__dict__ and name not in self._foreign
        if own or not self.__dict__.get("_constructed") or not isinstance(value, _PLAIN):
            return False
        self._foreign.add(name)
        return True

    # -- compile ----------------------------------------------------------------------------

    @checked_arguments
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | None = None,
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
            steps_per_execution: how many steps one compiled call runs, over data in memory; batch
                hooks come after each call. None: the engine decides, and hooks that somebody
                overrides come after every batch.
            jit_compile: accepted for Keras' sake; steps are always compiled.
            auto_scale_loss: wrap the optimizer in loss scaling when a layer computes in float16.

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
        self._engine = Engine(self, steps_per_execution)  # type: ignore[arg-type]
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
        """The names of the values that `evaluate` returns, in their order."""
        named = self.objective.named_metrics() if self.compiled else {}
        compiled = {id(metric) for metric in named.values()}
        return [*named, *(metric.name for metric in self.metrics if id(metric) not in compiled)]

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


def _held(owner: Any, kind: type) -> list[Any]:
    """Return the objects of a kind that attributes hold, also in lists and dicts."""
    found = []
    for name, value in vars(owner).items():
        if name in ("_captured", "objective"):
            continue
        leaves = tree.flatten(value) if isinstance(value, list | tuple | dict) else [value]
        found += [leaf for leaf in leaves if isinstance(leaf, kind)]
    return list({id(item): item for item in found}.values())
