"""Whole models in the HDF5 files of Keras 2, and of ``save("m.h5")`` in Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.core import registry
from plait.core.layer import Layer
from plait.errors import FileError
from plait.saving.archive import parse_json
from plait.saving.hdf5 import Hdf5
from plait.saving.legacy import legacy_arrays, names
from plait.saving.matching import match, report_of, wanted_by
from plait.saving.optimizer_state import set_state
from plait.saving.weights import assign, require_complete


def legacy_model(file: Hdf5, path: str, compiles: bool) -> Any:
    """Return the model that a legacy file holds.

    Args:
        file: the file.
        path: where it is.
        compiles: whether to compile it as it was.

    Raises:
        FileError: it holds weights alone, or is damaged.
    """
    attributes = file.attributes[""]
    if "model_config" not in attributes:
        raise FileError(
            "it holds weights, and no model.", fix="build the model, then model.load_weights(path)"
        )
    model = registry.deserialize(_json(attributes["model_config"]))
    if not isinstance(model, Layer):
        raise FileError("it holds no model.")
    wanted, stored = wanted_by(model), legacy_arrays(file)
    pairs = match(wanted, stored, "path", None)
    require_complete(report_of(path, wanted, stored, pairs), model)
    assign(pairs)
    if compiles and "training_config" in attributes:
        _compile(model, _json(attributes["training_config"]), file)
    return model


def _json(text: Any) -> Any:
    return parse_json(bytes(text) if isinstance(text, bytes) else str(text))


def _compile(model: Any, settings: Mapping[str, Any], file: Hdf5) -> None:
    optimizer = settings["optimizer_config"]
    config = {k: v for k, v in optimizer["config"].items() if not (k == "decay" and not v)}
    chosen = registry.deserialize({**optimizer, "config": config}, "optimizers")
    model.compile_from_config({**settings, "optimizer": chosen})
    keys = [
        f"optimizer_weights/{name}" for name in names(file, "optimizer_weights", "weight_names")
    ]
    arrays = [file.datasets[key].read() for key in keys if key in file.datasets]
    set_state(model.optimizer, model, arrays)
