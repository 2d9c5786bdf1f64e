"""Weights named and laid out as PyTorch's modules keep them.

``load_weights("m.safetensors", layout="torch")`` takes a file of a ``state_dict``. A layer takes
the arrays of the module of its path: ``features/conv`` those of ``features.conv``; `rename` maps
other names. What differs, and is converted:

- Linear ``weight`` is (out, in); `Dense` has (in, out).
- Conv ``weight`` is (out, in/groups, sizes), that of ConvTranspose (in, out, sizes); the kernels of
  `Conv1D` to `Conv3D` and the transposed ones begin with the sizes and end the other way around.
  A Conv with as many groups as channels is a `DepthwiseConv1D` or `2D`: (sizes, in, multiplier).
- BatchNorm, LayerNorm and GroupNorm have ``weight`` and ``bias`` for gamma and beta.
- LSTM, GRU and RNN have transposed matrices and two biases, which are added; GRU has the reset gate
  in front of the update gate, and keeps its two biases. Of several layers ``_l1`` and so on, each
  is a layer of its own here: ``rename={"lstm.weight_ih_l1": "lstm_2/weight_ih_l0", ...}``.
- MultiheadAttention has the three projections in one matrix, without an axis for the heads.

Channels come first in PyTorch: the rows of a Dense behind a Flatten of an image are in another
order, which no file says, so they are not changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from plait.core.layer import Layer
from plait.core.variable import Variable
from plait.core.walk import variables_by_path, walk
from plait.errors import ConfigError
from plait.saving.matching import Stored, renamed

Values = list[tuple[Variable, Any]]


class _Module:
    """The arrays of one module of PyTorch, by name; notes which were used."""

    def __init__(self, arrays: Mapping[str, Stored], path: str, used: set[str]) -> None:
        self._arrays, self._path, self._used = arrays, path, used

    def __contains__(self, name: str) -> bool:
        return f"{self._path}/{name}" in self._arrays

    def __call__(self, name: str) -> Any:
        key = f"{self._path}/{name}"
        self._used.add(key)
        return np.asarray(self._arrays[key].read())


def from_torch(
    model: Layer, stored: Sequence[Stored], rename: Mapping[str, str] | None
) -> list[Stored]:
    """Return the arrays of a ``state_dict`` as the variables of a model keep them.

    Arrays that belong to no layer stay as they are.

    Raises:
        ConfigError: a layer computes something else than the module does.
    """
    rename = {key.replace(".", "/"): name for key, name in (rename or {}).items()}
    arrays = {renamed(array.path.replace(".", "/"), rename): array for array in stored}
    arrays = {k: a for k, a in arrays.items() if not k.endswith("num_batches_tracked")}
    paths = {id(variable): path for path, variable in variables_by_path(model).items()}
    used: set[str] = set()
    found = []
    for path, layer in walk(model):
        convert = _CONVERTERS.get(type(layer).__name__)
        module = _Module(arrays, path, used)
        if convert is None or not any(key.startswith(f"{path}/") for key in arrays):
            continue
        for variable, value in convert(layer, module):
            key = paths[id(variable)]
            found.append(Stored(key, key, None, value.shape, functools.partial(np.asarray, value)))
    return found + [array for key, array in arrays.items() if key not in used]


def _plain(**names: str) -> Callable[[Any, _Module], Values]:
    """Return a converter for arrays that only have other names."""

    def convert(layer: Any, module: _Module) -> Values:
        pairs = ((getattr(layer, ours, None), theirs) for ours, theirs in names.items())
        return [(v, module(theirs)) for v, theirs in pairs if v is not None and theirs in module]

    return convert


def _with_kernel(turn: Callable[[Any], Any]) -> Callable[[Any, _Module], Values]:
    """Return a converter that lays a kernel out anew, and takes the bias as it is."""

    def convert(layer: Any, module: _Module) -> Values:
        values = [(layer.kernel, turn(module("weight")))] if "weight" in module else []
        return values + _plain(bias="bias")(layer, module)

    return convert


def _sizes_first(weight: Any) -> Any:
    return weight.transpose(*range(2, weight.ndim), 1, 0)


def _depthwise(layer: Any, module: _Module) -> Values:
    values = []
    if "weight" in module:
        weight = module("weight")
        each = weight.reshape(-1, layer.depth_multiplier, *weight.shape[2:])
        values.append((layer.kernel, each.transpose(*range(2, each.ndim), 0, 1)))
    return values + _plain(bias="bias")(layer, module)


def _lstm(layer: Any, module: _Module, suffix: str = "_l0") -> Values:
    """Return kernels and the sum of the biases; the gates are in the same order."""
    cell = layer.cell
    names = (f"weight_ih{suffix}", f"weight_hh{suffix}", f"bias_ih{suffix}", f"bias_hh{suffix}")
    values = [
        (variable, module(name).T)
        for variable, name in zip((cell.kernel, cell.recurrent_kernel), names, strict=False)
        if name in module
    ]
    if cell.use_bias and names[2] in module:
        values.append((cell.bias, module(names[2]) + module(names[3])))
    return values


def _gru(layer: Any, module: _Module, suffix: str = "_l0") -> Values:
    cell = layer.cell
    if not cell.reset_after:
        raise ConfigError(
            f"{layer.describe()} resets before the product, PyTorch's GRU after it.",
            fix="reset_after=True",
        )

    def update_first(name: str) -> Any:
        reset, update, new = np.split(module(name), 3)
        return np.concatenate([update, reset, new])

    values = [
        (variable, update_first(name).T)
        for variable, name in (
            (cell.kernel, f"weight_ih{suffix}"),
            (cell.recurrent_kernel, f"weight_hh{suffix}"),
        )
        if name in module
    ]
    if cell.use_bias and f"bias_ih{suffix}" in module:
        biases = [update_first(f"bias_ih{suffix}"), update_first(f"bias_hh{suffix}")]
        values.append((cell.bias, np.stack(biases)))
    return values


def _bidirectional(layer: Any, module: _Module) -> Values:
    convert = {"GRU": _gru}.get(type(layer.forward_layer).__name__, _lstm)
    backward = convert(layer.backward_layer, module, "_l0_reverse")
    return convert(layer.forward_layer, module) + backward


def _attention(layer: Any, module: _Module) -> Values:
    projections = (layer.query_dense, layer.key_dense, layer.value_dense)
    values: Values = []
    if "in_proj_weight" in module:
        weights = np.split(module("in_proj_weight"), 3)
    else:
        weights = [module(f"{name}_proj_weight") for name in "qkv"]
    for dense, weight in zip(projections, weights, strict=True):
        values.append((dense.kernel, weight.T.reshape(-1, *dense.kernel.shape[1:])))
    if layer.use_bias and "in_proj_bias" in module:
        for dense, bias in zip(projections, np.split(module("in_proj_bias"), 3), strict=True):
            values.append((dense.bias, bias.reshape(dense.bias.shape)))
    out = layer.output_dense
    values.append((out.kernel, module("out_proj/weight").T.reshape(*out.kernel.shape[:2], -1)))
    if layer.use_bias:
        values.append((out.bias, module("out_proj/bias")))
    return values


_NORMALIZATION = _plain(
    gamma="weight", beta="bias", moving_mean="running_mean", moving_variance="running_var"
)
_CONVOLUTION = _with_kernel(_sizes_first)

_CONVERTERS: dict[str, Callable[[Any, _Module], Values]] = {
    "Dense": _with_kernel(lambda weight: weight.T),
    "Embedding": _plain(embeddings="weight"),
    **{f"Conv{n}D{kind}": _CONVOLUTION for n in (1, 2, 3) for kind in ("", "Transpose")},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)},
    **{f"{kind}Normalization": _NORMALIZATION for kind in ("Batch", "Layer", "Group")},
    "LSTM": _lstm,
    "SimpleRNN": _lstm,
    "GRU": _gru,
    "Bidirectional": _bidirectional,
    "MultiHeadAttention": _attention,
}
