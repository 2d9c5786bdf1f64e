"""Name the leaves of an optax state by the variable they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
from jax.tree_util import DictKey

if TYPE_CHECKING:
    import optax


class Layout:
    """The shape of a transformation's state for some variables, and a name for each leaf.

    The leaf ``state[0].mu["dense/kernel"]`` is named ``"dense/kernel/mu"``, and a leaf that belongs
    to no variable by its field alone (``"count"``). Two leaves that would share a name get
    their whole way through the state (``"dense/kernel/0/trace"``).

    Args:
        transformation: an optax transformation.
        params: path -> array, or anything with a shape and a dtype.

    Attributes:
        ordered: the names; those of one variable stand together, in the order of `params`, and
            those of no variable stand last.
    """

    def __init__(
        self, transformation: optax.GradientTransformation, params: Mapping[str, Any]
    ) -> None:
        shapes = {path: jax.ShapeDtypeStruct(p.shape, p.dtype) for path, p in params.items()}
        tree = jax.eval_shape(transformation.init, shapes)
        self._structure: Any
        found, self._structure = jax.tree_util.tree_flatten_with_path(tree)
        owners, ways = [], []
        for keys, _ in found:
            owned = [k for k in keys if isinstance(k, DictKey) and k.key in shapes][:1]
            owners.append(owned[0].key if owned else None)
            ways.append([jax.tree_util.keystr((k,), simple=True) for k in keys if k not in owned])
        short = [
            _join(owner, [part for part in way if not part.isdigit()][-1:] or ["state"])
            for owner, way in zip(owners, ways, strict=True)
        ]
        counts = Counter(short)
        self._names = [
            name if counts[name] == 1 else _join(owner, way)
            for name, owner, way in zip(short, owners, ways, strict=True)
        ]
        order = {path: i for i, path in enumerate(params)}
        ranks = [len(order) if owner is None else order[owner] for owner in owners]
        self.ordered = [self._names[i] for i in sorted(range(len(ranks)), key=ranks.__getitem__)]

    def state(self, values: Mapping[str, Any]) -> Any:
        """Return the optax state that holds the values of these names."""
        return self._structure.unflatten([values[name] for name in self._names])

    def values(self, state: Any) -> dict[str, Any]:
        """Return name -> leaf of an optax state."""
        return dict(zip(self._names, self._structure.flatten_up_to(state), strict=True))


def _join(owner: str | None, parts: list[str]) -> str:
    return "/".join(parts if owner is None else [owner, *parts])
