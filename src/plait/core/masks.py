"""Masks travel beside tensors: which steps of a sequence are data and which are padding.

Inside a trace they live in the scope; outside, they stay attached to the arrays that concrete
calls return.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plait.core.scope import Scope
from plait.graph import tree

if TYPE_CHECKING:
    from plait.core.layer import Layer

_attached: dict[int, Any] = {}


def attach(outputs: Any, masks: list[Any]) -> None:
    """Attach masks to concrete arrays, for as long as these live."""
    for array, mask in zip(tree.flatten(outputs), masks, strict=True):
        if mask is not None:
            _attached[id(array)] = mask
            weakref.finalize(array, _attached.pop, id(array), None)


def attached(array: Any) -> Any:
    """Return the mask attached to a concrete array, or None."""
    return _attached.get(id(array))


def gather(
    layer: Layer,
    scope: Scope,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    parameters: Mapping[str, inspect.Parameter],
) -> Any:
    """Return the masks of the first argument, and add ``mask=`` and ``x_mask=`` to `kwargs`.

    The mask of the first argument goes to the parameter ``mask``, that of an argument ``value``
    to ``value_mask``, where `call` has such parameters and the caller gave none.
    """
    if "mask" in parameters and parameters["mask"].default is None:
        kwargs.setdefault("mask", None)
    if not scope.has_masks():
        return _as_mask(kwargs.get("mask"))
    given = dict(zip(parameters, args, strict=False)) | kwargs
    first: Any = None
    for position, (name, value) in enumerate(given.items()):
        found = tree.map_structure(scope.get_mask, value)
        if position == 0:
            first = found
        if all(mask is None for mask in tree.flatten(found)):
            continue
        for target in (f"{name}_mask", *(["mask"] if position == 0 else [])):
            if target in parameters and given.get(target) is None:
                kwargs[target] = found
    return kwargs.get("mask") if kwargs.get("mask") is not None else _as_mask(first)


def _as_mask(mask: Any) -> Any:
    return None if all(item is None for item in tree.flatten(mask)) else mask


def propagate(
    layer: Layer, scope: Scope, args: tuple[Any, ...], outputs: Any, previous: Any
) -> None:
    """Set the masks of the outputs from those of the inputs."""
    from plait.core.layer import Layer

    if layer.routes_masks:
        return
    makes_masks = type(layer).compute_mask is not Layer.compute_mask
    if previous is None and not makes_masks:
        return
    if not (layer.supports_masking or makes_masks):
        if all(scope.get_mask(output) is not None for output in tree.flatten(outputs)):
            return
        takes_masks = any(name.endswith("mask") for name in type(layer)._call_parameters)
        if layer.warns_of_lost_masks and not takes_masks:
            warnings.warn(
                f"{layer.describe()} takes a masked input but does not pass masks on; the layers "
                "after it see the padding as data. Set supports_masking = True if it computes "
                "each step on its own.",
                stacklevel=2,
            )
        return
    result = layer.compute_mask(args[0] if args else None, previous)
    flat_outputs = tree.flatten(outputs)
    flat_masks = tree.flatten(result)
    if len(flat_masks) < len(flat_outputs):
        flat_masks += [None] * (len(flat_outputs) - len(flat_masks))
    for output, mask in zip(flat_outputs, flat_masks, strict=False):
        if mask is not None:
            scope.set_mask(output, mask)
