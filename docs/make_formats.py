"""Write docs/formats.md: which layer and which operation each format knows.

The marks are those cases that the tests hold against real runtimes: python docs/make_formats.py
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "saving"))

import export_cases  # noqa: E402
import layer_cases  # noqa: E402

from plait import layers  # noqa: E402
from plait.core.layer import Layer  # noqa: E402
from plait.ops import FUNCTIONS  # noqa: E402
from plait.saving.onnx.operations import OPERATIONS  # noqa: E402

BASES = {"Layer", "Wrapper"}

NOTES = {
    "Embedding": "in ONNX a number outside the table is an error; plait gives NaN",
    "LSTM": "not `stateful`",
    "GRU": "not `stateful`",
    "SimpleRNN": "not `stateful`",
    "RNN": "not `stateful`; in ONNX a cell of your own is made of `plait.ops`",
    "Lambda": "in ONNX its function is made of `plait.ops`",
    "UpSampling2D": "in ONNX sizes are known, except with `interpolation='nearest'`",
    "Cropping1D": "in StableHLO sizes are known",
    "Cropping2D": "in StableHLO sizes are known",
    "Cropping3D": "in StableHLO sizes are known",
}


def layer_names() -> list[str]:
    """Return the layers by the first of their names."""
    found: dict[type, str] = {}
    for name, value in vars(layers).items():
        if isinstance(value, type) and issubclass(value, Layer) and name not in BASES:
            found.setdefault(value, value.__name__)
    return sorted(found.values())


def in_exports(layer: str) -> bool:
    """Return whether the tests export a layer."""
    used = {label.partition(" ")[0] for label in export_cases.LAYERS}
    cells = {"InputLayer", "LSTMCell", "GRUCell", "SimpleRNNCell"}  # part of other cases
    return layer in used or layer in cells


def in_files(layer: str) -> bool:
    """Return whether the tests write a layer to files and read it back, in Keras too."""
    return layer in {name for name, _, _ in layer_cases.CASES} | set(layer_cases.ELSEWHERE)


COLUMNS: dict[str, Callable[[str], bool]] = {
    ".keras": in_files,
    ".h5 (read)": in_files,
    "safetensors": in_files,
    "ONNX": in_exports,
    "StableHLO": in_exports,
}


def table(rows: list[list[Any]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *rest = [[str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text() -> str:
    """Return the page."""
    rows: list[list[Any]] = [["layer", *COLUMNS, ""]]
    for name in layer_names():
        marks = ["yes" if known(name) else "no" for known in COLUMNS.values()]
        rows.append([name, *marks, NOTES.get(name, "")])
    known = sorted(set(OPERATIONS) & set(FUNCTIONS))
    operations = ", ".join(f"`{name}`" for name in known)
    return f"""# Formats

Written by `docs/make_formats.py` from the cases that the tests hold against real runtimes.

{table(rows)}

`.keras` is Keras 3's, both ways, with the optimizer's state; weights alone are `.weights.h5` or
safetensors. Layers of your own are written to each of them, and read with `custom_objects` or
`@plait.saving.register_serializable()`; an anonymous function in a `Lambda` is not written.

StableHLO takes every layer of your own that JAX can trace. ONNX takes those whose `call` is made of
`plait.ops` and other layers, and those with a converter (`plait.saving.onnx_converter`). Dropout
and noise are left out of exports: they do nothing in inference.

## Operations in ONNX

Operators on symbolic tensors, and of `plait.ops`: {operations}.

StableHLO knows every operation that does not call back into Python.
"""


if __name__ == "__main__":
    (HERE / "formats.md").write_text(text())
