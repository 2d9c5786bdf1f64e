"""Whole models in Keras 3's ``.keras`` archives."""

from __future__ import annotations

import datetime
import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

from plait.core import registry
from plait.core.layer import Layer
from plait.errors import ConfigError, FileError
from plait.saving import hdf5
from plait.saving.archive import contents, errors_naming, members, parse_json
from plait.saving.atomic import replacing
from plait.saving.exchange import Reading, Writing, fill_placeholders
from plait.saving.legacy_model import legacy_model
from plait.saving.matching import Stored, by_place, report_of, wanted_by
from plait.saving.optimizer_state import optimizer_groups, restore_optimizer
from plait.saving.placeholder import Placeholder
from plait.saving.weights import assign, check_overwrite, in_hdf5, require_complete, weights_file

_KERAS_VERSION = "3.12.0"  # whose readers understand everything that is written here


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
    check_overwrite(path, overwrite)
    with registry.exchanging(Writing(include_optimizer)):
        config = registry.serialize(model)
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
    }
    optimizer = getattr(model, "optimizer", None) if include_optimizer else None
    state = optimizer_groups(optimizer, model) if optimizer is not None else []
    weights = weights_file(model, state)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    *,
    missing: str = "error",
) -> Any:
    """Return the model in a ``.keras`` file of plait or Keras 3, or in a legacy ``.h5`` file.

    Nothing that the file names is imported or run.

    Args:
        filepath: the file.
        custom_objects: name -> class or function, for those of your own; see also
            `register_serializable`.
        compile: whether to compile the model as it was, with the optimizer's state.
        safe_mode: accepted for Keras' sake; must be True: plait never runs code from a file.
        missing: what happens with a class or function of which only the name is known: ``"error"``,
            or ``"placeholder"``: the model opens to be looked at (`summary`, `plot`, weights) and
            is not compiled; computing with it is an error that names what is missing.

    Raises:
        FileError: the file is damaged or hostile, or needs something that is missing.
    """
    path = os.fspath(filepath)
    if not safe_mode:
        raise ConfigError(
            "load_model: safe_mode=False would run code from the file, which plait never does.",
            fix="custom_objects={'name': function} with the function from your own source",
        )
    if missing not in ("error", "placeholder"):
        raise ConfigError(f"missing is 'error' or 'placeholder'; received {missing!r}.")
    looking = missing == "placeholder"
    reading = Reading(compile and not looking, looking)
    with (
        errors_naming(path),
        registry.custom_object_scope(custom_objects),
        registry.exchanging(reading),
    ):
        if path.endswith((".h5", ".hdf5")):
            file = hdf5.Hdf5(contents(path), f"'{path}'")
            return legacy_model(file, path, reading.compiles)
        found = members(path)
        for name in ("config.json", "model.weights.h5"):
            if name not in found:
                raise FileError(f"it has no {name}: it is no model of Keras.")
        model = registry.deserialize(parse_json(found["config.json"]))
        if not isinstance(model, Layer):
            raise FileError("it holds no model.")
        file = hdf5.Hdf5(found["model.weights.h5"], f"'{path}'")
        fill_placeholders(model, file)
        if isinstance(model, Placeholder):
            sequential = registry.find_class({"module": "keras", "class_name": "Sequential"})
            model = sequential([model], name=model.name)
        restore_weights(model, in_hdf5(file), path)
        optimizer = getattr(model, "optimizer", None)
        if reading.compiles and optimizer is not None:
            restore_optimizer(optimizer, model, file)
    return model


def restore_weights(model: Layer, stored: list[Stored], path: str) -> None:
    """Give a model all its weights by their places in a file, which may hold nothing else."""
    wanted = wanted_by(model)
    pairs = by_place(wanted, stored)
    require_complete(report_of(path, wanted, stored, pairs), model)
    assign(pairs)
