"""Whole models in Keras 3's ``.keras`` archives."""

from __future__ import annotations

import datetime
import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from plait.core import registry
from plait.core.layer import Layer
from plait.errors import FileError
from plait.saving import hdf5
from plait.saving.atomic import replacing
from plait.saving.exchange import Reading, Writing
from plait.saving.layout import groups
from plait.saving.optimizer_state import optimizer_arrays, restore_optimizer

_KERAS_VERSION = "3.15.0"


def save_model(
    model: Any,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    include_optimizer: bool = True,
) -> None:
    """Write a model to a ``.keras`` file that Keras 3 opens too.

    It holds the architecture, the weights, and if the model is compiled the compile settings and
    the optimizer's state. The file is replaced as a whole or not at all.

    Args:
        model: the model, built.
        filepath: where to; ends in ``.keras``.
        overwrite: whether an existing file may be replaced.
        include_optimizer: whether compile settings and the optimizer's state are written.

    Raises:
        FileError: the file cannot be written, or exists and `overwrite` is False.
        ConfigError: something in the model cannot be written, as an anonymous function.
    """
    path = os.fspath(filepath)
    if not path.endswith(".keras"):
        raise FileError(f"'{path}' does not end in '.keras'.", fix="model.save('model.keras')")
    if not overwrite and os.path.exists(path):
        raise FileError(f"'{path}' exists.", fix="save(path, overwrite=True), or another name")
    with registry.exchanging(Writing()):
        config = registry.serialize(model)
    if not include_optimizer:
        config.pop("compile_config", None)
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
    }
    weights = weights_file(model, include_optimizer)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)


def weights_file(model: Any, include_optimizer: bool = False) -> bytes:
    """Return the weights of a model as an HDF5 file of Keras 3."""
    written = [
        (group.path, group.layer.name, [np.asarray(v.concrete_value()) for v in group.variables])
        for group in groups(model)
    ]
    optimizer = getattr(model, "optimizer", None) if include_optimizer else None
    if optimizer is not None:
        written += optimizer_arrays(optimizer, model)
    return hdf5.write(written)


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Return the model that a ``.keras`` file of plait or Keras 3 holds."""
    path = os.fspath(filepath)
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read '{path}': {error}.") from error
    with archive:
        config = json.loads(archive.read("config.json"))
        weights = hdf5.Hdf5(archive.read("model.weights.h5"), f"'{path}'")
    reading = Reading(compile)
    with registry.custom_object_scope(custom_objects), registry.exchanging(reading):
        model = registry.deserialize(config)
    if not isinstance(model, Layer):
        raise FileError(f"'{path}' holds no model.")
    for group in groups(model):
        for index, variable in enumerate(group.variables):
            name = f"{group.path}/vars/{index}".lstrip("/")
            if name not in weights.arrays:
                raise FileError(f"'{path}' has no weights {name}")
            variable.assign(weights.arrays[name])
    if compile and getattr(model, "optimizer", None) is not None:
        restore_optimizer(model.optimizer, model, weights)  # type: ignore[attr-defined]
    return model
