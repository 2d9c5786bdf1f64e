"""What a user may write for a metric: a name, a function, a configuration or an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

from plait.core import naming, registry
from plait.errors import ArgumentTypeError
from plait.losses.shapes import output_kind
from plait.metrics import (
    accuracy,
    auc,
    constrained,
    correlation,
    counts,
    fscore,
    iou,
    margin,
    probabilistic,
    r2,
    reduction,
    regression,
)
from plait.metrics.metric import Metric
from plait.metrics.reduction import MeanMetricWrapper

_FAMILIES = (
    reduction,
    regression,
    r2,
    accuracy,
    auc,
    counts,
    constrained,
    correlation,
    fscore,
    iou,
    margin,
    probabilistic,
)
_CLASSES = {
    name: value
    for family in _FAMILIES
    for name, value in vars(family).items()
    if isinstance(value, type) and issubclass(value, Metric) and value.__module__ == family.__name__
}
for _base in ("ConfusionMetric", "ConstrainedMetric", "MeanMetricWrapper"):
    del _CLASSES[_base]  # bases: nobody means one by its name
_TABLE = _CLASSES | {naming.snake_case(name): value for name, value in _CLASSES.items()}
for _short, _long in {
    "bce": "BinaryCrossentropy",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
}.items():
    _TABLE[_short] = _TABLE[_short.upper()] = _CLASSES[_long]

for _family in (accuracy, correlation):
    for _name, _function in list(vars(_family).items()):
        if isinstance(_function, FunctionType) and _function.__module__ == _family.__name__:
            registry.register_function("metrics", _function)

_BY_KIND: dict[str, dict[str, type[Metric]]] = {
    "accuracy": {
        "binary": accuracy.BinaryAccuracy,
        "sparse": accuracy.SparseCategoricalAccuracy,
        "categorical": accuracy.CategoricalAccuracy,
    },
    "crossentropy": {
        "binary": probabilistic.BinaryCrossentropy,
        "sparse": probabilistic.SparseCategoricalCrossentropy,
        "categorical": probabilistic.CategoricalCrossentropy,
    },
}
_BY_KIND["acc"], _BY_KIND["ce"] = _BY_KIND["accuracy"], _BY_KIND["crossentropy"]


def get(identifier: Any) -> Any:
    """Return the metric that an argument ``metrics=`` means; None stays None.

    Args:
        identifier: a name (``"mae"``, ``"auc"``, ``"AUC"``), a function, a class, an object, or a
            configuration.

    Raises:
        ConfigError: nothing has that name.
        ArgumentTypeError: it is none of the above.
    """
    if identifier is None:
        return None
    return registry.lookup(identifier, _TABLE, "metrics", "metric")


def for_output(
    identifier: Any, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Metric:
    """Return the `Metric` for one output of a model, with its variables made.

    Args:
        identifier: as for `get`; ``"accuracy"`` or ``"acc"``, and ``"crossentropy"`` or ``"ce"``,
            choose the binary, sparse or categorical metric by the shapes (Keras' rule). A name is
            also the name of the metric; functions become a `MeanMetricWrapper`.
        y_true_shape: of the targets.
        y_pred_shape: of the output.

    Raises:
        ConfigError: nothing has that name.
        ArgumentTypeError: it is no metric, None included.
    """
    if identifier is None:
        raise ArgumentTypeError("a metric is None.", fix="leave it out, or metrics=['accuracy']")
    if isinstance(identifier, str):
        metric = _named(identifier, y_true_shape, y_pred_shape)
    else:
        metric = get(identifier)
    if not isinstance(metric, Metric):
        name = identifier if isinstance(identifier, str) else getattr(metric, "name", None)
        metric = MeanMetricWrapper(metric, name=name)
    metric.build(y_true_shape, y_pred_shape)
    return metric


def _named(
    name: str, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Any:
    by_kind = _BY_KIND.get(name.lower())
    if by_kind is not None:
        return by_kind[output_kind(y_true_shape, y_pred_shape)](name=name)
    if name in _TABLE:
        return _TABLE[name](name=name)
    metric = get(name)
    if isinstance(metric, Metric):
        metric.name = name
    return metric


def serialize(metric: Any) -> Any:
    """Return a metric as plain data."""
    return registry.serialize(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the metric that `serialize` wrote.

    Args:
        config: plain data, or the name of a metric.
        custom_objects: name -> class or function, for those that are not plait's.
    """
    with registry.custom_object_scope(custom_objects):
        return get(config)
