"""What `compile` was given, resolved for each output by name: losses, weights, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp

from plait import losses
from plait import metrics as metrics_room
from plait.errors import ConfigError, DataError, PlaitError, ShapeError, did_you_mean
from plait.graph import tree

_CHOSEN_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")


@dataclass
class Target:
    """What is asked of one output."""

    name: str
    loss: Any = None
    weight: float | None = None
    metrics: list[Any] = field(default_factory=list)
    weighted_metrics: list[Any] = field(default_factory=list)
    tracker: Any = None


class Objective:
    """Losses and metrics of a model, by output name.

    Arguments may be one thing for every output, a list in the order of the outputs, or a dict by
    output name; a dict may leave outputs out. Names and order of the results are Keras': ``loss``,
    then ``NAME_loss`` for each output if there are several, then the metrics, prefixed with the
    output's name if there are several.

    Args:
        loss: a name, function or `Loss`, or a list or dict of them.
        loss_weights: factors in the total loss.
        metrics: metrics that ignore sample weights.
        weighted_metrics: metrics that use them.
    """

    def __init__(
        self,
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        self.loss, self.loss_weights = loss, loss_weights
        self.user_metrics, self.user_weighted_metrics = metrics, weighted_metrics
        self.loss_tracker = metrics_room.Mean(name="loss")
        self.targets: list[Target] | None = None
        self._names: list[str] | None = None

    def know_outputs(self, y_pred: Any, names: Sequence[str] | None) -> None:
        """Take the outputs' names, from the model or else from the structure of its outputs."""
        self._names = list(names or _names_of(y_pred, len(tree.flatten(y_pred))))

    @property
    def names(self) -> list[str]:
        """The outputs' names, once known."""
        return list(self._names or [])

    def losses_by_position(self) -> list[Any]:
        """Return what `compile` was given as loss for each output."""
        return self._spread(self.loss, "loss", repeat=True)

    def settings(self) -> dict[str, Any]:
        """Return what `restore` takes to put everything back that an edit of the model changes."""
        return dict(vars(self))

    def restore(self, settings: Mapping[str, Any]) -> None:
        """Put back what `settings` returned."""
        vars(self).update(settings)

    def carry_over(
        self,
        before: Sequence[str],
        after: Sequence[str],
        origins: Sequence[int | None] | None = None,
    ) -> None:
        """Follow an edit of the model: settings stay with their outputs, new outputs have none.

        Args:
            before: the outputs' names until now.
            after: their names from now on.
            origins: for each output now, its position until now, None for a new one; default: if
                there are as many they are the same, else those of the same name are.
        """
        if origins is None and len(before) == len(after):
            origins = range(len(after))
        elif origins is None:
            origins = [before.index(name) if name in before else None for name in after]
        self._names = list(before)
        if list(before) != list(after):
            columns = (
                ("loss", self._spread(self.loss, "loss", repeat=True)),
                ("loss_weights", self._spread(self.loss_weights, "loss_weights", repeat=False)),
                ("user_metrics", self._spread_metrics(self.user_metrics, "metrics")),
                (
                    "user_weighted_metrics",
                    self._spread_metrics(self.user_weighted_metrics, "weighted_metrics"),
                ),
            )
            for attribute, values in columns:
                kept = {
                    name: values[origin]
                    for name, origin in zip(after, origins, strict=True)
                    if origin is not None and values[origin] is not None
                }
                setattr(self, attribute, kept or None)
        self.targets = None
        self._names = list(after)

    def forget_data(self) -> None:
        """Undo `resolve`: the data it saw could not be used."""
        self.targets = None

    # -- resolution -------------------------------------------------------------------------

    def resolve(self, y_pred: Any, names: Sequence[str] | None, y_true: Any) -> list[Target]:
        """Return one `Target` an output; made once, when shapes are first known.

        Raises:
            ConfigError: a list has the wrong length or a dict names an output that is not there.
        """
        if self.targets is not None:
            return self.targets
        self.know_outputs(y_pred, names)
        predictions = self.predictions(y_pred)
        targets = [Target(name) for name in self.names]
        count = len(targets)
        truths = self.match_targets(y_true)
        given_losses = self._spread(self.loss, "loss", repeat=True)
        weights = self._spread(self.loss_weights, "loss_weights", repeat=False)
        plain = self._spread_metrics(self.user_metrics, "metrics")
        weighted = self._spread_metrics(self.user_weighted_metrics, "weighted_metrics")
        for index, target in enumerate(targets):
            shape = tuple(jnp.shape(predictions[index]))
            truth = truths[index]
            true_shape = shape if truth is None else tuple(jnp.shape(truth))
            if given_losses[index] is not None:
                target.loss = losses.for_output(given_losses[index], true_shape, shape)  # type: ignore[arg-type]
            target.weight = None if weights[index] is None else float(weights[index])
            target.metrics = [
                metrics_room.for_output(m, true_shape, shape) for m in _listed(plain[index])
            ]
            target.weighted_metrics = [
                metrics_room.for_output(m, true_shape, shape) for m in _listed(weighted[index])
            ]
        with_loss = [target for target in targets if target.loss is not None]
        if count > 1 and len(with_loss) > 1:
            for target in with_loss:
                target.tracker = metrics_room.Mean(name=f"{target.name}_loss")
        self.targets = targets
        return targets

    def check(self, names: Sequence[str]) -> None:
        """Check `compile`'s arguments against the outputs' names, before there are data.

        Raises:
            ConfigError: a list has the wrong length or a dict names an output that is not there.
        """
        self._names = list(names)
        for loss in self._spread(self.loss, "loss", repeat=True):
            if str(loss).lower() not in _CHOSEN_BY_SHAPE:
                losses.get(loss)
        for weight in self._spread(self.loss_weights, "loss_weights", repeat=False):
            if weight is not None and not isinstance(weight, Real):
                raise ConfigError(
                    f"compile: loss_weights are numbers; received {weight!r}.",
                    fix="metrics go by keyword: compile(optimizer, loss, metrics=['accuracy'])",
                )
        for given, what in (
            (self.user_metrics, "metrics"),
            (self.user_weighted_metrics, "weighted_metrics"),
        ):
            for metric in tree.flatten([_listed(m) for m in self._spread_metrics(given, what)]):
                if str(metric).lower() not in _CHOSEN_BY_SHAPE:
                    metrics_room.get(metric)

    def predictions(self, y_pred: Any) -> list[Any]:
        """Return the outputs in the order of their names, whatever order their dict is in."""
        if not isinstance(y_pred, Mapping):
            return tree.flatten(y_pred)
        flat = {"/".join(path): leaf for path, leaf in tree.leaves_with_path(y_pred)}
        return [flat[name] for name in self.names]

    def match_targets(self, y_true: Any) -> list[Any]:
        """Return one target an output, None for those that are asked nothing.

        A list may have one for each output, or one for each output with a loss, as in Keras.

        Raises:
            DataError: a wrong number, an unknown name, or none for an output that needs one.
        """
        given_losses = self.losses_by_position()
        needing = [index for index, loss in enumerate(given_losses) if loss is not None]
        if not isinstance(y_true, Mapping) and len(needing) < len(self.names):
            flat = tree.flatten(y_true)
            if len(flat) == len(needing):
                y_true = {self.names[i]: truth for i, truth in zip(needing, flat, strict=True)}
        truths = self.match(y_true, "targets")
        plain = self._spread_metrics(self.user_metrics, "metrics")
        weighted = self._spread_metrics(self.user_weighted_metrics, "weighted_metrics")
        for index, name in enumerate(self.names):
            metrics = _listed(plain[index]) + _listed(weighted[index])
            if truths[index] is None and (given_losses[index] is not None or metrics):
                asked = "metrics" if given_losses[index] is None else "a loss"
                raise DataError(
                    f"output '{name}' has {asked}, but there are no targets for it.",
                    fix="pass y, or an iterable of (x, y)"
                    if len(self.names) == 1
                    else f"add {name!r} to the targets, or compile without {asked} for it",
                )
        return truths

    def match(self, value: Any, what: str) -> list[Any]:
        """Return one entry an output from a dict by name, a list in order, or a single value.

        Raises:
            DataError: a wrong number or an unknown name.
        """
        names = self.names
        if value is None:
            return [None] * len(names)
        if isinstance(value, Mapping):
            flat = {"/".join(path): leaf for path, leaf in tree.leaves_with_path(value)}
            for key in flat:
                if key not in names:
                    raise DataError(
                        f"there is no output '{key}' for the {what}.{did_you_mean(key, names)}",
                        fix=f"its outputs are {', '.join(map(repr, names))}",
                    )
            return [flat.get(name) for name in names]
        flat_values = [value] if tree.is_leaf(value) else tree.flatten(value)
        if what == "sample weights" and len(flat_values) == 1:
            return flat_values * len(names)
        if len(flat_values) != len(names):
            raise DataError(
                f"the model has {len(names)} outputs ({', '.join(map(repr, names))}); received "
                f"{len(flat_values)} {what if len(flat_values) != 1 else what[:-1]}.",
                fix="pass a list in their order or a dict by output name",
            )
        return flat_values

    def _spread(self, value: Any, what: str, repeat: bool) -> list[Any]:
        names = self.names
        if value is None:
            return [None] * len(names)
        if isinstance(value, Mapping) and "class_name" not in value:
            by_name = {"/".join(path): leaf for path, leaf in tree.leaves_with_path(value)}
            self._check_keys(by_name, what)
            return [by_name.get(name) for name in names]
        if isinstance(value, list | tuple):
            flat = tree.flatten(value)
            if len(flat) != len(names):
                raise ConfigError(
                    f"compile: {what} is a list of {len(flat)}, but the model has {len(names)} "
                    f"outputs: {', '.join(map(repr, names))}.",
                    fix=f"{what}={{{names[0]!r}: ...}}",
                )
            return flat
        if not repeat and len(names) > 1:
            raise ConfigError(
                f"compile: {what} is one number, but the model has {len(names)} outputs.",
                fix=f"{what}={{{names[0]!r}: ...}}",
            )
        return [value] * len(names)

    def _spread_metrics(self, value: Any, what: str) -> list[Any]:
        names = self.names
        if not value:
            return [None] * len(names)
        if isinstance(value, Mapping):
            self._check_keys(value, what)
            return [value.get(name) for name in names]
        if len(names) == 1:
            return [tree.flatten(value)]
        if isinstance(value, list | tuple) and len(value) == len(names):
            return list(value)
        raise ConfigError(
            f"compile: {what} must say which output each metric is for; the model has "
            f"{len(names)} outputs: {', '.join(map(repr, names))}.",
            fix=f"{what}={{{names[0]!r}: ['accuracy']}}",
        )

    def _check_keys(self, value: Mapping[str, Any], what: str) -> None:
        names = self.names
        for key in value:
            if key not in names:
                raise ConfigError(
                    f"compile: {what} names the output '{key}', which the model does not have."
                    f"{did_you_mean(key, names)}",
                    fix=f"its outputs are {', '.join(map(repr, names))}",
                )

    # -- one step ---------------------------------------------------------------------------

    def total_loss(
        self, y_true: Any, y_pred: Any, sample_weight: Any, names: Sequence[str] | None
    ) -> Any:
        """Return the weighted sum of the losses of one batch, and note those of each output.

        Raises:
            ShapeError: a target does not fit its output.
        """
        targets = self.resolve(y_pred, names, y_true)
        truths = self.match_targets(y_true)
        weights = self.match(sample_weight, "sample weights")
        total: Any = None
        for target, truth, prediction, weight in zip(
            targets, truths, self.predictions(y_pred), weights, strict=True
        ):
            if target.loss is None:
                continue
            with _naming(target, truth, prediction):
                value = target.loss(truth, prediction, weight)
            if target.tracker is not None:
                target.tracker.update_state(value, sample_weight=_batch_size(prediction))
            if target.weight is not None:
                value = value * target.weight
            total = value if total is None else total + value
        return total

    def update_metrics(self, y_true: Any, y_pred: Any, sample_weight: Any) -> None:
        """Add one batch to the metrics."""
        if self.targets is None:
            return
        truths = self.match_targets(y_true)
        weights = self.match(sample_weight, "sample weights")
        for target, truth, prediction, weight in zip(
            self.targets, truths, self.predictions(y_pred), weights, strict=True
        ):
            with _naming(target, truth, prediction):
                for metric in target.metrics:
                    metric.update_state(truth, prediction)
                for metric in target.weighted_metrics:
                    metric.update_state(truth, prediction, sample_weight=weight)

    def track_loss(self, loss: Any, y_pred: Any) -> None:
        """Add the total loss of one batch to its mean over the epoch."""
        first = next((leaf for leaf in tree.flatten(y_pred) if leaf is not None), None)
        self.loss_tracker.update_state(loss, sample_weight=_batch_size(first))

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Make the metrics' variables, for shapes of targets and predictions."""
        truths = self.match_targets(y_true)
        for target, truth, prediction in zip(
            self.targets or [], truths, self.predictions(y_pred), strict=True
        ):
            for metric in [*target.metrics, *target.weighted_metrics]:
                metric.build(tuple(jnp.shape(truth)), tuple(jnp.shape(prediction)))

    @property
    def metrics(self) -> list[Any]:
        """Every metric, the losses' trackers first."""
        found = [self.loss_tracker]
        for target in self.targets or []:
            found += [target.tracker] if target.tracker is not None else []
        for target in self.targets or []:
            found += [*target.metrics, *target.weighted_metrics]
        return list({id(metric): metric for metric in found}.values())

    def named_metrics(self) -> dict[str, Any]:
        """Return every metric by the name that its value has in the logs."""
        found: dict[str, Any] = {"loss": self.loss_tracker}
        targets = self.targets or []
        for target in targets:
            if target.tracker is not None:
                found[target.tracker.name] = target.tracker
        several = len(targets) > 1
        for attribute in ("metrics", "weighted_metrics"):
            for target in targets:
                for metric in getattr(target, attribute):
                    prefix = f"{target.name}_" if several else ""
                    name = prefix + metric.name
                    if name in found and attribute == "weighted_metrics":
                        name = f"{prefix}weighted_{metric.name}"
                    found[_unused(name, found)] = metric
        return found

    def results(self) -> dict[str, Any]:
        """Return name -> value of every metric."""
        found: dict[str, Any] = {}
        for name, metric in self.named_metrics().items():
            _add_result(found, name, metric.result())
        return found


@contextmanager
def _naming(target: Target, truth: Any, prediction: Any) -> Iterator[None]:
    """Let errors that leave the block name the output, those of users' own functions too."""
    try:
        yield
    except PlaitError as error:
        if error.located:
            raise
        raise error.at(f"output '{target.name}':") from error
    except jax.errors.ConcretizationTypeError:
        raise
    except (TypeError, ValueError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ShapeError(
            f"output '{target.name}': its loss or a metric cannot compare the targets with the "
            f"predictions: {first}",
            details=[("targets", jnp.shape(truth)), ("predictions", jnp.shape(prediction))],
            fix="reshape the targets as the predictions, or the function that compares them",
        ) from error


def _add_result(found: dict[str, Any], name: str, result: Any) -> None:
    if isinstance(result, Mapping):
        for key, value in result.items():
            _add_result(found, str(key), value)
        return
    found[_unused(name, found)] = result


def _unused(name: str, found: Mapping[str, Any]) -> str:
    unique, count = name, 0
    while unique in found:
        count += 1
        unique = f"{name}_{count}"
    return unique


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return tree.flatten(value) if isinstance(value, list | tuple) else [value]


def _names_of(y_pred: Any, count: int) -> list[str]:
    if isinstance(y_pred, Mapping):
        return ["/".join(path) for path, _ in tree.leaves_with_path(y_pred)]
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _batch_size(array: Any) -> Any:
    shape = jnp.shape(array)
    return shape[0] if shape else 1
