"""What a user may write for a loss: a name, a function, a configuration or an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from plait.core import registry
from plait.losses import (
    crossentropy,
    embedding,
    margin,
    overlap,
    probabilistic,
    regression,
    sequence,
    sparse,
)
from plait.losses.loss import Loss, LossFunction
from plait.losses.shapes import output_kind


def _named(family: ModuleType) -> dict[str, Any]:
    """Return the public functions and classes of a family; each of them is a loss."""
    return {
        name: value
        for name, value in vars(family).items()
        if isinstance(value, type | FunctionType)
        and value.__module__ == family.__name__
        and not name.startswith("_")
    }


_TABLE = {
    **_named(regression),
    **_named(margin),
    **_named(probabilistic),
    **_named(crossentropy),
    **_named(sparse),
    **_named(overlap),
    **_named(embedding),
    **_named(sequence),
}
for _function in [value for value in _TABLE.values() if isinstance(value, FunctionType)]:
    registry.register_function("losses", _function)
registry.register_class("losses", LossFunction, "LossFunctionWrapper")
for _short, _long in {
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
}.items():
    _TABLE[_short] = _TABLE[_short.upper()] = _TABLE[_long]

_CROSSENTROPIES = {
    "binary": "binary_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
    "categorical": "categorical_crossentropy",
}


def get(identifier: Any) -> Any:
    """Return the loss that an argument ``loss=`` means; None stays None.

    Args:
        identifier: a name (``"mse"``, ``"mean_squared_error"``: the function;
            ``"MeanSquaredError"``: an object), a function, a class, an object, or a configuration.

    Raises:
        ConfigError: nothing has that name.
        ArgumentTypeError: it is none of the above.
    """
    if identifier is None:
        return None
    return registry.lookup(identifier, _TABLE, "losses", "loss")


def for_output(
    identifier: Any, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Loss | None:
    """Return the `Loss` for one output of a model; None stays None.

    Args:
        identifier: as for `get`; ``"crossentropy"`` or ``"ce"`` choose the binary, sparse or
            categorical crossentropy by the shapes. Functions are wrapped in `LossFunction` under
            the name the user wrote.
        y_true_shape: of the targets.
        y_pred_shape: of the output.
    """
    wanted = identifier
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        wanted = _CROSSENTROPIES[output_kind(y_true_shape, y_pred_shape)]
    loss = get(wanted)
    if loss is None or isinstance(loss, Loss):
        return loss
    return LossFunction(loss, name=identifier if isinstance(identifier, str) else None)


def serialize(loss: Any) -> Any:
    """Return a loss as plain data."""
    return registry.serialize(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the loss that `serialize` wrote.

    Args:
        name: plain data, or the name of a loss.
        custom_objects: name -> class or function, for those that are not plait's.
    """
    with registry.custom_object_scope(custom_objects):
        return get(name)
