"""Products, attention, convolutions, poolings and recurrences: where layers and ops get them from.

`TABLE` says which run natively, on oneDNN through plait-onednn, and `choose`, `using` and the
environment variable ``PLAIT_KERNELS=xla`` switch that off.
"""

from plait.kernels.adam import adam
from plait.kernels.affine import affine, spread
from plait.kernels.attention import attention, attention_weights, weighted
from plait.kernels.block import Moments, conv_block
from plait.kernels.convolution import conv, conv_transpose, depthwise_conv, transposed_sizes
from plait.kernels.gru import gru
from plait.kernels.layer_norm import layer_norm
from plait.kernels.loops import loops_well
from plait.kernels.lstm import lstm
from plait.kernels.native import native
from plait.kernels.pooling import average_pool, max_pool
from plait.kernels.table import TABLE, choose, chosen, using
from plait.kernels.windows import output_sizes

__all__ = [
    "TABLE",
    "Moments",
    "adam",
    "affine",
    "attention",
    "attention_weights",
    "average_pool",
    "choose",
    "chosen",
    "conv",
    "conv_block",
    "conv_transpose",
    "depthwise_conv",
    "gru",
    "layer_norm",
    "loops_well",
    "lstm",
    "max_pool",
    "native",
    "output_sizes",
    "spread",
    "transposed_sizes",
    "using",
    "weighted",
]
