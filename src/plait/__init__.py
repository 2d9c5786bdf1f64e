"""plait: build and train neural networks as graphs of layers.

The names are those of Keras 3: ``import plait as tf`` runs code written for ``tf.keras``.
Nothing heavy is imported until it is used.

    >>> import plait
    >>> from plait import layers
    >>> x = plait.Input((28, 28))
    >>> y = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    >>> plait.Model(x, y).output_shape
    (None, 10)
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from plait import _alias
from plait.core.garbage import uncollected

__version__ = "0.1.0"

if TYPE_CHECKING:
    from plait import (
        activations,
        backend,
        callbacks,
        config,
        constraints,
        datasets,
        demo,
        errors,
        initializers,
        layers,
        losses,
        metrics,
        mixed_precision,
        models,
        ops,
        optimizers,
        preprocessing,
        random,
        regularizers,
        saving,
        tree,
        utils,
    )
    from plait.core.dtypes import DTypePolicy
    from plait.core.layer import Layer
    from plait.core.scope import value_and_grad
    from plait.core.spec import InputSpec
    from plait.core.variable import Variable
    from plait.errors import (
        ArgumentTypeError,
        ConfigError,
        DataError,
        ExportError,
        FileError,
        GraphError,
        ModelWarning,
        NanError,
        NotBuiltError,
        NotCompiledError,
        PlaitError,
        ShapeError,
    )
    from plait.graph.graph import Graph
    from plait.graph.node import Node
    from plait.graph.tensor import KerasTensor, SymbolicTensor
    from plait.initializers import Initializer
    from plait.layers.input import Input
    from plait.losses import Loss
    from plait.metrics import Metric
    from plait.models import Functional, Model, Sequential
    from plait.models.joining import merge, stack
    from plait.optimizers import Optimizer
    from plait.regularizers import Regularizer
    from plait.view.difference import diff
    from plait.view.lint import check

_ROOMS = (
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "demo",
    "errors",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
)

_NAMES = {
    "ArgumentTypeError": "errors",
    "ConfigError": "errors",
    "DTypePolicy": "core.dtypes",
    "DataError": "errors",
    "ExportError": "errors",
    "FileError": "errors",
    "Functional": "models",
    "Graph": "graph.graph",
    "GraphError": "errors",
    "Initializer": "initializers",
    "Input": "layers.input",
    "InputSpec": "core.spec",
    "KerasTensor": "graph.tensor",
    "Layer": "core.layer",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Node": "graph.node",
    "ModelWarning": "errors",
    "NanError": "errors",
    "NotBuiltError": "errors",
    "NotCompiledError": "errors",
    "Optimizer": "optimizers",
    "PlaitError": "errors",
    "Regularizer": "regularizers",
    "Sequential": "models",
    "ShapeError": "errors",
    "SymbolicTensor": "graph.tensor",
    "Variable": "core.variable",
    "check": "view.lint",
    "diff": "view.difference",
    "merge": "models.joining",
    "stack": "models.joining",
    "value_and_grad": "core.scope",
}


# what code written for TensorFlow's own namespace uses instead
_INSTEAD = {
    "GradientTape": "plait.value_and_grad(loss_function, variables)",
    "constant": "plait.ops.convert_to_tensor",
    "convert_to_tensor": "plait.ops.convert_to_tensor",
    "data": "arrays, a generator of batches or plait.utils.PyDataset",
    "function": "nothing: steps are compiled already",
    "matmul": "plait.ops.matmul",
    "nn": "plait.layers, plait.activations or plait.ops",
    "reduce_max": "plait.ops.max",
    "reduce_mean": "plait.ops.mean",
    "reduce_sum": "plait.ops.sum",
}

_alias.install()


def __getattr__(name: str) -> Any:
    if name == "keras":
        return sys.modules[__name__]
    if name in _NAMES:
        value = getattr(_imported(_NAMES[name]), name)
    elif name in _ROOMS:
        value = _imported(name)
    else:
        from plait.errors import did_you_mean

        hint = did_you_mean(name, [*_ROOMS, *_NAMES])
        if name in _INSTEAD:
            hint = f" Use {_INSTEAD[name]}."
        raise AttributeError(f"plait has no attribute {name!r}.{hint}")
    globals()[name] = value
    return value


def _imported(name: str) -> Any:
    with uncollected(all_stays=True):
        return importlib.import_module(f"plait.{name}")


def __dir__() -> list[str]:
    return sorted({*_ROOMS, *_NAMES, "keras", "__version__"})


__all__ = ["__version__", "keras", *_ROOMS, *_NAMES]
