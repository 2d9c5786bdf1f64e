"""The names of ``tf.keras.mixed_precision``; `plait.config` has the same.

>>> import plait
>>> plait.mixed_precision.set_global_policy("mixed_bfloat16")
>>> plait.layers.Dense(2).compute_dtype
'bfloat16'
>>> plait.mixed_precision.set_global_policy("float32")
"""

from plait.core.dtypes import DTypePolicy, dtype_policy, set_dtype_policy
from plait.optimizers import LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
