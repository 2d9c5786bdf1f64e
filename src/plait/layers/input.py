"""Inputs: where a graph begins."""

from __future__ import annotations

from typing import Any

from plait.core import dtypes
from plait.core.layer import Layer
from plait.core.spec import TensorSpec, standardize_shape
from plait.errors import ConfigError
from plait.graph.node import Node
from plait.graph.tensor import Shape, SymbolicTensor


class InputLayer(Layer):
    """The layer behind an `Input`; it has one call and no computation.

    Args:
        shape: the shape without the batch; None for sizes that vary.
        batch_size: a fixed batch, rarely wanted.
        dtype: what data is cast to; default: the default float.
        batch_shape: the shape with the batch, instead of `shape`.
        optional: whether None may be passed.
        name: the key of this input in dicts of data.

    Example:
        >>> import plait
        >>> plait.layers.InputLayer((28, 28)).output.shape
        (None, 28, 28)
    """

    display_name = "Input"

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if sparse or ragged or input_tensor is not None:
            raise ConfigError(
                "Input: sparse, ragged and existing tensors as inputs are not supported.",
                fix="pass dense arrays; pad ragged sequences",
            )
        whole = batch_shape if batch_shape is not None else kwargs.pop("batch_input_shape", None)
        if whole is None and shape is None:
            shape = kwargs.pop("input_shape", None)
        if (whole is None) == (shape is None):
            raise ConfigError(
                "Input needs shape=... (without the batch) or batch_shape=... (with it).",
                fix="plait.Input(shape=(28, 28))",
            )
        if whole is None:
            whole = (batch_size, *standardize_shape(shape))
        super().__init__(name=name, dtype=None, **kwargs)
        self.batch_shape: Shape = standardize_shape(whole)
        self.input_dtype = dtypes.standardize(dtype)
        self.optional = optional
        self.built = True
        self._make_tensor()

    def _make_tensor(self) -> None:
        spec = TensorSpec(self.batch_shape, self.input_dtype)
        self.output_tensor: SymbolicTensor = Node(self, (), {}, spec, self.location).outputs[0]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["output_tensor"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_tensor()

    @property
    def output(self) -> SymbolicTensor:
        """The symbolic tensor."""
        return self.output_tensor

    @property
    def dtype(self) -> str:
        """What data is cast to."""
        return self.input_dtype

    def get_config(self) -> dict[str, Any]:
        """Return shape, dtype and name."""
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.input_dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Make a symbolic tensor to build a model from.

    Args:
        shape: the shape of one sample, without the batch; None for sizes that vary.
        batch_size: a fixed batch size, rarely wanted.
        dtype: what data is cast to; default: the default float.
        sparse: accepted for Keras' sake; must not be True.
        ragged: accepted for Keras' sake; must not be True.
        batch_shape: the shape with the batch, instead of `shape`.
        name: the key of this input in dicts of data.
        tensor: accepted for Keras' sake; must be None.
        optional: whether None may be passed for it.

    Example:
        >>> import plait
        >>> image = plait.Input((32, 32, 3), name="image")
        >>> image.shape
        (None, 32, 32, 3)
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer.output_tensor
