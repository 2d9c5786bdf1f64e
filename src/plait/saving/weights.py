"""Weights in files: which arrays a file holds, and into which variables they go."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from plait.core.layer import Layer
from plait.errors import FileError, NotBuiltError
from plait.saving import hdf5
from plait.saving.archive import contents, errors_naming, members, parse_json
from plait.saving.atomic import replacing
from plait.saving.layout import groups
from plait.saving.legacy import legacy_arrays
from plait.saving.matching import (
    Pairs,
    Stored,
    check_arguments,
    match,
    named_place,
    report_of,
    wanted_by,
)
from plait.saving.report import LoadReport
from plait.saving.torch_layout import from_torch

_SUFFIXES = (".weights.h5", ".safetensors")


def save_weights(model: Layer, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write the weights of a model to a ``.weights.h5`` or ``.safetensors`` file.

    The first is Keras 3's and opens there. In the second, arrays are named by their paths, as in
    ``model.state()``. The file is replaced as a whole or not at all.

    Args:
        model: a model or layer, built.
        filepath: where to; its ending says which format.
        overwrite: whether an existing file may be replaced.

    Raises:
        FileError: the file cannot be written, has another ending, or exists and `overwrite` is
            False.
        NotBuiltError: there are no weights yet.
    """
    path = os.fspath(filepath)
    if not path.endswith(_SUFFIXES):
        raise FileError(
            f"'{path}' does not end in '.weights.h5' or '.safetensors'.",
            fix="model.save_weights('model.weights.h5'), or model.save('model.keras') for all",
        )
    _require_built(model)
    check_overwrite(path, overwrite)
    data = weights_file(model) if path.endswith(".h5") else _safetensors(model)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def check_overwrite(path: str, overwrite: bool) -> None:
    """Raise a FileError if a file exists that must not be replaced."""
    if not overwrite and os.path.exists(path):
        raise FileError(f"'{path}' exists.", fix="overwrite=True, or another name")


def _require_built(model: Layer) -> None:
    if not model.built:
        raise NotBuiltError(
            f"{model.describe()} has no weights yet.",
            fix="call it on data, or begin it with plait.Input(shape=...)",
        )


def weights_file(model: Layer, more: list[Any] | None = None) -> bytes:
    """Return the weights of a model, and `more` groups, as an HDF5 file of Keras 3."""
    written = [
        (group.path, group.layer.name, [np.asarray(v.concrete_value()) for v in group.variables])
        for group in groups(model)
    ]
    return hdf5.write(written + (more or []))


def _safetensors(model: Layer) -> bytes:
    from safetensors.numpy import save

    wanted = wanted_by(model)
    arrays = {w.path: np.asarray(w.variable.concrete_value()) for w in wanted}
    places = {w.path: w.place for w in wanted}
    return save(arrays, {"format": "plait", "places": json.dumps(places)})


# -- reading --------------------------------------------------------------------------------


def load_weights(
    model: Layer,
    filepath: str | os.PathLike[str],
    skip_mismatch: bool = False,
    *,
    match: str = "path",
    rename: Mapping[str, str] | None = None,
    strict: bool = True,
    layout: str | None = None,
    verbose: bool = True,
) -> LoadReport:
    """Read weights from a file into a model, all of them or none.

    Reads ``.weights.h5`` and ``.keras`` of plait and Keras 3, ``.h5`` of Keras 2 and 3, and
    ``.safetensors``.

    Args:
        model: a model or layer, built.
        filepath: the file.
        skip_mismatch: leave weights of another shape, and what is missing, as they are; the same
            as ``strict=False``.
        match: ``"path"``: by the names of layers, or if all of them fit so by their places in the
            model, where only automatic names differ; ``"order"``: one after the other;
            ``"shape"``: in order among those of one shape.
        rename: beginnings of paths in the file -> in the model (``{"encoder": "trunk"}``), whole
            names between ``/`` each.
        strict: whether anything missing, unused or of another shape is an error; then nothing
            changes.
        layout: ``"torch"`` for the names and layouts of PyTorch's modules, see
            `plait.saving.torch_layout`.
        verbose: whether to print the report.

    Returns:
        What became of each weight.

    Raises:
        FileError: the file is damaged, or does not fit.
        ConfigError: there is no such `match` or `layout`.
        NotBuiltError: the model has no weights yet.
    """
    check_arguments(match, rename, layout)
    _require_built(model)
    path = os.fspath(filepath)
    with errors_naming(path):
        stored = stored_in(path)
        wanted = wanted_by(model)
        if layout == "torch":
            stored = from_torch(model, stored, rename)
            rename = None
        pairs = _match(wanted, stored, match, rename)
        report = report_of(path, wanted, stored, pairs)
        if strict and not skip_mismatch:
            require_complete(report, model)
    assign(pairs)
    if verbose:
        print(report)
    return report


_match = match


def require_complete(report: LoadReport, model: Layer) -> None:
    """Raise a FileError if a report is not of a full match."""
    if report.complete:
        return
    total = len(report.loaded) + len(report.missing) + len(report.mismatched)
    raise FileError(
        f"'{report.source}' does not fit {model.describe()}: {len(report.loaded)} of {total} "
        "weights would be loaded. Nothing has changed.",
        details=report.rows(),
        fix="strict=False loads what fits; rename={'name in the file': 'name in the model'}; or "
        "match='order'",
    )


def assign(pairs: Pairs) -> None:
    """Give variables the values of their arrays, where shapes agree."""
    values = [
        (want.variable, array.read())
        for want, array in pairs.items()
        if want.variable.shape == array.shape
    ]
    for variable, value in values:
        variable.assign(value)


def stored_in(path: str) -> list[Stored]:
    """Return the arrays of a file of weights.

    Raises:
        FileError: it is damaged, or of no format that is read.
    """
    if path.endswith(".safetensors"):
        return _in_safetensors(path)
    if path.endswith(".keras"):
        found = members(path)
        if "model.weights.h5" not in found:
            raise FileError("it holds no weights.")
        return in_hdf5(hdf5.Hdf5(found["model.weights.h5"], f"'{path}'"))
    if path.endswith((".h5", ".hdf5")):
        return in_hdf5(hdf5.Hdf5(contents(path), f"'{path}'"))
    raise FileError(
        f"'{path}' is no file of weights that plait reads.",
        fix="one that ends in .weights.h5, .keras, .h5 or .safetensors",
    )


def in_hdf5(file: hdf5.Hdf5) -> list[Stored]:
    """Return the weights in an HDF5 file of Keras, the optimizer's state left out."""
    if "layer_names" in file.attributes.get("model_weights", file.attributes[""]):
        return legacy_arrays(file)
    names = {
        group.removesuffix("/vars"): str(attributes["name"])
        for group, attributes in file.attributes.items()
        if "name" in attributes and group.endswith("/vars")
    }
    found = []
    for path, dataset in sorted(file.datasets.items(), key=lambda item: _natural(item[0])):
        if not path.startswith("optimizer/"):
            key = _key(file, path)
            place = named_place(path, names)
            found.append(Stored(path, key, path, dataset.shape, dataset.read, place))
    return found


def _key(file: hdf5.Hdf5, path: str) -> str:
    """Return the names of the layers on the way to an array, and its number."""
    *parts, _, last = path.split("/") if path.startswith("vars/") else ["", *path.split("/")]
    names = []
    for count in range(1, len(parts) + 1):
        group = "/".join(part for part in parts[:count] if part)
        name = file.attributes.get(f"{group}/vars", {}).get("name") if group else None
        if name is not None:
            names.append(str(name))
    return "/".join([*names, last])


def _natural(path: str) -> list[Any]:
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in path.split("/")]


def _in_safetensors(path: str) -> list[Stored]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            places = parse_json((file.metadata() or {}).get("places", "{}"))
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.offset_keys()}
    except SafetensorError as error:
        raise FileError(
            f"'{path}' is no safetensors file, or is damaged: {error}.",
            fix="take another copy of the file",
        ) from error

    def reader(key: str) -> Any:
        def read() -> Any:
            with safe_open(path, "np") as file:
                return file.get_tensor(key)

        return read

    order = {key: i for i, key in enumerate(places)} if isinstance(places, dict) else {}
    keys = sorted(shapes, key=lambda key: order.get(key, len(order)))
    return [
        Stored(key, key, places[key] if key in order else None, shapes[key], reader(key))
        for key in keys
    ]
