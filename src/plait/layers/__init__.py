# ruff: noqa: F401
"""The layers, by the names that Keras gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plait.core import registry
from plait.core.layer import Layer
from plait.core.spec import InputSpec
from plait.layers.activation_layers import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from plait.layers.attention import AdditiveAttention, Attention
from plait.layers.batch_normalization import BatchNormalization
from plait.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from plait.layers.concatenate import Concatenate, concatenate
from plait.layers.convolution import (
    Conv1D,
    Conv2D,
    Conv3D,
    Convolution1D,
    Convolution2D,
    Convolution3D,
)
from plait.layers.dense import Dense, EinsumDense
from plait.layers.depthwise import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution1D,
    SeparableConvolution2D,
)
from plait.layers.dropout import (
    AlphaDropout,
    Dropout,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from plait.layers.embedding import Embedding
from plait.layers.feature_normalization import Normalization
from plait.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
from plait.layers.input import Input, InputLayer
from plait.layers.lambda_layer import Lambda
from plait.layers.masking import Masking
from plait.layers.merging import (
    Add,
    Average,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from plait.layers.multi_head_attention import MultiHeadAttention
from plait.layers.normalization import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from plait.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from plait.layers.preprocessing import CategoryEncoding, Rescaling
from plait.layers.recurrent import RNN
from plait.layers.recurrent_layers import GRU, LSTM, SimpleRNN
from plait.layers.regularization import ActivityRegularization, GaussianDropout, GaussianNoise
from plait.layers.reshaping import Flatten, Identity, Permute, RepeatVector, Reshape
from plait.layers.spatial import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from plait.layers.stacked_cells import StackedRNNCells
from plait.layers.transposed import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
    Convolution1DTranspose,
    Convolution2DTranspose,
    Convolution3DTranspose,
)
from plait.layers.wrappers import Bidirectional, TimeDistributed, Wrapper


def get(identifier: Any) -> Layer:
    """Return the layer that an argument means.

    Args:
        identifier: a class name ("Dense"), a configuration, a class or a layer.

    Raises:
        ConfigError: an unknown name.
        ArgumentTypeError: none of these.
    """
    known = {
        name: found
        for name, found in globals().items()
        if isinstance(found, type) and issubclass(found, Layer)
    }
    return registry.lookup(identifier, known, "layers", "layer")


def serialize(layer: Layer) -> dict[str, Any]:
    """Return the configuration of a layer, without its weights (see `plait.saving`)."""
    return registry.serialize(layer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the layer that `config`, what `serialize` returned, describes.

    Args:
        config: the configuration.
        custom_objects: classes and functions of yours that it may name.
    """
    with registry.custom_object_scope(custom_objects):
        return registry.deserialize(config, "layers")
