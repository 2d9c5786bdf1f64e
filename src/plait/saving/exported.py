"""Read what `Model.export` wrote, and run it without plait's layers."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from plait.errors import ConfigError, DataError, FileError, did_you_mean
from plait.graph.tensor import Shape

LARGEST = 2**31 - 2**20
"""The largest file that is written or read, in bytes: an ONNX file is less than 2 GiB."""


class ExportedSpec(NamedTuple):
    """An input or an output: its name, its shape (None where open), its dtype."""

    name: str
    shape: Shape
    dtype: str


class ExportedModel:
    """A model that was read from an exported file; call it on arrays.

    Args:
        path: where it was read from.
        inputs: what it takes, in order.
        outputs: what it returns, in order.
        run: computes the outputs of arrays, as lists.

    Attributes:
        inputs: a name, a shape and a dtype for each input.
        outputs: the same for each output.
    """

    def __init__(
        self,
        path: pathlib.Path,
        inputs: Sequence[ExportedSpec],
        outputs: Sequence[ExportedSpec],
        run: Callable[[list[np.ndarray]], Sequence[Any]],
    ) -> None:
        self.path, self.inputs, self.outputs = path, list(inputs), list(outputs)
        self._run = run

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        """Compute the outputs.

        Args:
            *arrays: one array for each input, in order; or one list, or one dict by name.
            **named: arrays by name.

        Returns:
            The NumPy array of the only output, or a dict of them by name.

        Raises:
            DataError: an input is missing, unknown, or of another shape.
        """
        first = arrays[0] if len(arrays) == 1 else None
        if isinstance(first, Mapping):
            arrays, named = (), {**first, **named}
        elif isinstance(first, list | tuple) and (len(self.inputs) > 1 or _is_listed(first)):
            arrays = tuple(first)
        values = self._matched(arrays, named)
        results = [np.asarray(result) for result in self._run(values)]
        if len(results) == 1:
            return results[0]
        return {spec.name: result for spec, result in zip(self.outputs, results, strict=True)}

    def _matched(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[np.ndarray]:
        names = [spec.name for spec in self.inputs]
        if len(arrays) > len(names):
            raise DataError(
                f"'{self.path.name}' takes {len(names)} inputs ({', '.join(names)}); received "
                f"{len(arrays)}."
            )
        given = {**dict(zip(names, arrays, strict=False)), **named}
        for name in given:
            if name not in names:
                raise DataError(
                    f"'{self.path.name}' has no input '{name}'.{did_you_mean(name, names)}",
                    fix=f"its inputs are {', '.join(map(repr, names))}",
                )
        missing = [name for name in names if name not in given]
        if missing:
            raise DataError(f"'{self.path.name}' needs {', '.join(map(repr, missing))} as well.")
        return [_fitted(spec, given[spec.name]) for spec in self.inputs]

    def __repr__(self) -> str:
        def listed(specs: Sequence[ExportedSpec]) -> str:
            return ", ".join(f"{name} {shape} {dtype}" for name, shape, dtype in specs)

        return f"<ExportedModel {self.path.name}: {listed(self.inputs)} -> {listed(self.outputs)}>"


def _is_listed(value: Sequence[Any]) -> bool:
    """Return whether a list holds one array, and is not an array written out."""
    return len(value) == 1 and hasattr(value[0], "shape")


def _fitted(spec: ExportedSpec, value: Any) -> np.ndarray:
    array = np.asarray(value)
    fits = len(array.shape) == len(spec.shape) and all(
        want in (None, have) for have, want in zip(array.shape, spec.shape, strict=True)
    )
    if not fits or array.dtype.kind not in "biuf":
        raise DataError(
            f"input '{spec.name}' is {spec.shape} {spec.dtype}; received {array.shape} "
            f"{array.dtype}.",
            fix="add the batch axis: x[None]" if array.shape == spec.shape[1:] else None,
        )
    return array.astype(spec.dtype, copy=False)


def load_exported(path: str | os.PathLike[str]) -> ExportedModel:
    """Read a file that `Model.export` wrote, ``.onnx`` or ``.stablehlo``.

    An ``.onnx`` file of any origin is run by onnxruntime, which has to be installed
    (``pip install 'plait[onnx]'``); a ``.stablehlo`` file by JAX. Neither needs the layers that the
    model was made of. Nothing that the file names is imported or opened, and it may call no code
    from outside. A ``.stablehlo`` file is a program that XLA compiles: damage to it is noticed,
    but one forged with care may keep XLA busy for ever, so take those from whom you trust.

    Args:
        path: the file.

    Returns:
        An object to call on arrays, with the specs `inputs` and `outputs`.

    Raises:
        FileError: there is no such file, or it is none of the two, damaged, or larger than 2 GB.
        ConfigError: onnxruntime is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> import plait
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "model.stablehlo"
        >>> x = plait.Input((3,), name="x")
        >>> _ = plait.Model(x, plait.layers.Rescaling(2.0, name="y")(x)).export(file)
        >>> plait.saving.load_exported(file)(np.ones((1, 3))).tolist()
        [[2.0, 2.0, 2.0]]
    """
    file = pathlib.Path(path)
    readers = {".onnx": _read_onnx, ".stablehlo": _read_stablehlo}
    if file.suffix.lower() not in readers:
        raise FileError(
            f"'{file}' is no exported model: its name ends neither in .onnx nor in .stablehlo.",
            fix="plait.models.load_model reads .keras files",
        )
    try:
        if file.stat().st_size > LARGEST:
            raise FileError(f"'{file}' is larger than 2 GB.")
        contents = file.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read '{file}': {error.strerror or error}.") from error
    return readers[file.suffix.lower()](file, contents)


def damaged(path: pathlib.Path, error: Exception) -> FileError:
    """Return the error for a file that cannot be what its name says."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return FileError(
        f"'{path}' cannot be read: it is damaged, or no {path.suffix} file ({first[:200]})."
    )


def _read_stablehlo(path: pathlib.Path, contents: bytes) -> ExportedModel:
    from plait.saving.stablehlo import read_stablehlo

    inputs, outputs, run = read_stablehlo(path, contents)
    return ExportedModel(path, inputs, outputs, run)


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({name})": name for name in ("int8", "int16", "int32", "int64")},
    **{f"tensor(u{name})": f"u{name}" for name in ("int8", "int16", "int32", "int64")},
}


def _read_onnx(path: pathlib.Path, contents: bytes) -> ExportedModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            "running an ONNX file needs the package onnxruntime.", fix="pip install 'plait[onnx]'"
        ) from error
    from plait.saving.onnx.safety import check_contents

    check_contents(path, contents)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            contents, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:
        raise damaged(path, error) from error
    inputs, outputs = (
        [_spec(path, item) for item in items]
        for items in (session.get_inputs(), session.get_outputs())
    )
    names = [spec.name for spec in outputs]

    def run(arrays: list[np.ndarray]) -> Sequence[Any]:
        feed = {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}
        try:
            return session.run(names, feed)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise DataError(f"'{path.name}' cannot be run on these inputs: {first}") from error

    return ExportedModel(path, inputs, outputs, run)


def _spec(path: pathlib.Path, item: Any) -> ExportedSpec:
    if item.type not in _DTYPES:
        raise FileError(f"'{path}' has '{item.name}' of type {item.type}, which is no array.")
    shape = tuple(size if isinstance(size, int) else None for size in item.shape)
    return ExportedSpec(item.name, shape, _DTYPES[item.type])
