"""Files of every format that is read, opened to be looked at or written in another."""

from __future__ import annotations

import json
import pathlib
import warnings
from typing import Any

from rich.console import Console
from rich.table import Table

from plait.core import registry
from plait.core.walk import walk
from plait.errors import ConfigError, FileError, ModelWarning, PlaitError
from plait.models.targets import has_graph
from plait.saving.exchange import Reading
from plait.saving.exported import ExportedModel, load_exported
from plait.saving.keras_file import load_model
from plait.saving.weights import stored_in

MODELS = (".keras", ".h5", ".hdf5", ".json")
WEIGHTS = (".weights.h5", ".safetensors")
EXPORTED = (".onnx", ".stablehlo")
WRITTEN = (".keras", ".json", *WEIGHTS, *EXPORTED, ".py")


def kind_of(path: pathlib.Path, known: tuple[str, ...]) -> str:
    """Return the ending of a path that says its format.

    Raises:
        FileError: it is none of those known.
    """
    found = [ending for ending in known if path.name.lower().endswith(ending)]
    if not found:
        raise FileError(
            f"'{path}' ends in none of {', '.join(known)}.", fix="the ending says the format"
        )
    return max(found, key=len)


def opened(path: pathlib.Path) -> Any:
    """Return the model in a file to look at: classes that are not known here stand in by name.

    Raises:
        FileError: it holds no model, or is damaged.
    """
    kind = kind_of(path, (*MODELS, *WEIGHTS, *EXPORTED))
    if kind in WEIGHTS:
        raise FileError(
            f"'{path}' holds weights alone, which say nothing of layers and their order.",
            fix=f"plait summary {path}",
        )
    if kind in EXPORTED:
        raise FileError(
            f"'{path}' is a compiled program: it says what goes in and comes out, not its layers.",
            fix=f"plait summary {path}, or take the file that it was exported from",
        )
    try:
        return _read(path, kind, "error", ignored=Warning)
    except PlaitError:
        return _read(path, kind, "placeholder", ignored=Warning)


def _read(path: pathlib.Path, kind: str, missing: str, ignored: type[Warning]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ignored)
        model = _from_json(path, missing) if kind == ".json" else load_model(path, missing=missing)
    for _, layer in walk(model):  # no line of a person's made them
        layer.location = None
        for node in layer.graph.nodes if has_graph(layer) else ():
            node.location = None
    return model


def _from_json(path: pathlib.Path, missing: str) -> Any:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"'{path}' is no JSON: {error}.") from error
    with registry.exchanging(Reading(False, missing == "placeholder")):
        model = registry.deserialize(data)
    if not hasattr(model, "has_graph"):
        raise FileError(f"'{path}' holds no model.")
    return model


def summarize(path: pathlib.Path, nested: bool) -> None:
    """Print what is in a file."""
    kind = kind_of(path, (*MODELS, *WEIGHTS, *EXPORTED))
    if kind in WEIGHTS:
        Console().print(_arrays(path))
    elif kind in EXPORTED:
        Console().print(_specs(load_exported(path)))
    else:
        opened(path).summary(expand_nested=nested)


def _arrays(path: pathlib.Path) -> Table:
    table = Table(title=path.name, title_justify="left", caption_justify="left")
    table.add_column("path", overflow="fold")
    table.add_column("shape")
    table.add_column("elements", justify="right")
    total = 0
    for stored in stored_in(str(path)):
        size = 1
        for length in stored.shape:
            size *= length
        total += size
        table.add_row(stored.path, str(tuple(stored.shape)), f"{size:,}")
    table.caption = f"{total:,} elements in {table.row_count} arrays"
    return table


def _specs(model: ExportedModel) -> Table:
    table = Table(title=model.path.name, title_justify="left")
    for column in ("", "name", "shape", "dtype"):
        table.add_column(column, overflow="fold")
    for what, specs in (("input", model.inputs), ("output", model.outputs)):
        for spec in specs:
            table.add_row(what, spec.name, str(spec.shape), spec.dtype)
    return table


def convert(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Write the model of one file in the format that the ending of another says.

    Raises:
        FileError: the first is not read, or not to the second.
        ConfigError: something in the model has no place in the format.
    """
    kind = kind_of(source, MODELS)
    wanted = kind_of(target, WRITTEN)
    model = _read(source, kind, "error", ignored=ModelWarning)  # `check` says what these say
    if kind == ".json" and wanted in WEIGHTS:
        raise ConfigError(f"'{source}' holds no weights.", fix="convert the .keras file")
    if wanted == ".keras":
        model.save(target)
    elif wanted in WEIGHTS:
        model.save_weights(target)
    elif wanted in EXPORTED:
        model.export(target)
    else:
        text = model.to_python() if wanted == ".py" else model.to_json(indent=2)
        target.write_text(text, encoding="utf-8")
    return target
