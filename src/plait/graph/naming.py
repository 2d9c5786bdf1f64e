"""Who holds a layer under its name, and must agree when the name changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from plait.errors import GraphError
from plait.graph.node import describe_layer
from plait.graph.weak import Members


class Namespace(Protocol):
    """Something in which the names of layers are unique."""

    @property
    def layers(self) -> Iterable[Any]:
        """The layers in it."""


_holders = Members()


def hold(namespace: Namespace, layer: Any) -> None:
    """Note that `layer` is in `namespace`."""
    _holders.add(layer, namespace)


def check_rename(layer: Any, name: str, but: Iterable[Any] = ()) -> None:
    """Check that no other layer of a model that holds `layer`, `but` for some, is named `name`.

    Raises:
        GraphError: one is.
    """
    for namespace in _holders.of(layer):
        if any(namespace is known for known in but):
            continue
        layers = list(namespace.layers)
        if not any(other is layer for other in layers):
            continue
        for other in layers:
            if other is not layer and other.name == name:
                raise GraphError(
                    f"{describe_layer(layer, layer.location)} cannot be renamed to '{name}': a "
                    "layer of the same model has that name.",
                    details=[("taken by", describe_layer(other, other.location))],
                    fix=f"choose another name, for instance '{name}_2'",
                )
