"""Convolutions and poolings: the one place where layers and ops get them from."""

from plait.kernels.convolution import conv, conv_transpose, depthwise_conv, transposed_sizes
from plait.kernels.pooling import average_pool, max_pool
from plait.kernels.windows import output_sizes

__all__ = [
    "average_pool",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "max_pool",
    "output_sizes",
    "transposed_sizes",
]
