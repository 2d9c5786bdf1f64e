"""What to say when a function of JAX is given a symbolic tensor."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Container
from types import FrameType

from plait.errors import GraphError, is_user_file


def refusal(who: str, operations: Container[str]) -> Exception:
    """Return what to raise when JAX looks up ``__jax_array__`` of a symbolic tensor.

    Args:
        who: the tensor, as errors name it.
        operations: the functions of `plait.ops`; the one called is named if it is among them.

    Returns:
        An `AttributeError` where JAX would then ask the tensor's own operator, else the error.
    """
    frame: FrameType | None = sys._getframe(2)
    if frame is not None and frame.f_code.co_filename.endswith("array_methods.py"):
        return AttributeError("the operator of the tensor is next")
    called: list[str] = []
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        called.append(frame.f_code.co_name)
        frame = frame.f_back
    if frame is not None:  # compiled functions leave no frame: read the line that calls them
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        called += re.findall(r"\.(\w+)\(", line)
    name = next((name for name in reversed(called) if name in operations), None)
    instead = f"plait.ops.{name}" if name else "the functions of plait.ops"
    return GraphError(  # JAX would catch a TypeError
        f"{who} is symbolic: it has no values while the model is being built, so a function of JAX "
        "cannot take it.",
        fix=f"use {instead}, or layers.Lambda(function)(x)",
    )
