"""Find and load plait-onednn, the package of native kernels, and say why it is not there."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import platform
from pathlib import Path
from typing import NamedTuple

import jax

INSTALL = "pip install ./native   (in a clone of plait; needs g++)"
_HANDLERS = (
    "plait_onednn_adam",
    "plait_onednn_attention",
    "plait_onednn_attention_backward",
    "plait_onednn_block",
    "plait_onednn_block_backward",
    "plait_onednn_convolution",
    "plait_onednn_dense",
    "plait_onednn_dense_backward",
    "plait_onednn_max_pool",
    "plait_onednn_linear_pool",
    "plait_onednn_normalization",
    "plait_onednn_normalization_backward",
    "plait_onednn_recurrence",
    "plait_onednn_recurrence_backward",
)


class Native(NamedTuple):
    """The native library.

    Attributes:
        library: the library; None if there is none.
        why: a sentence about where it is, or why it is not.
        fix: what to do to have it; "" if it is there.
    """

    library: ctypes.CDLL | None
    why: str
    fix: str = ""


@functools.cache
def native() -> Native:
    """Load the library once and tell XLA of its handlers."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Native(None, "native kernels are for Linux on x86-64")
    spec = importlib.util.find_spec("plait_onednn")
    if spec is None or spec.origin is None:
        return Native(None, "the package plait-onednn is not installed", INSTALL)
    path = Path(spec.origin).with_name("libplait_onednn.so")
    try:
        library = ctypes.CDLL(str(path))
        for name in _HANDLERS:
            capsule = jax.ffi.pycapsule(getattr(library, name))
            jax.ffi.register_ffi_target(name, capsule, platform="cpu")
        library.plait_onednn_level.restype = ctypes.c_char_p
        level = library.plait_onednn_level().decode()
    except (OSError, AttributeError) as error:
        fix = INSTALL
        if "libgomp" in str(error):
            fix = "install GNU OpenMP (Debian: apt install libgomp1)"
        return Native(None, f"{path} cannot be loaded: {error}", fix)
    return Native(library, f"oneDNN and kernels for {level} on the CPU, {path}")
