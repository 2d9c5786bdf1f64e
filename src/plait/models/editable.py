"""The part of a model that changes its graph, and the history of what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plait.core.garbage import uncollected
from plait.core.layer import Layer
from plait.core.walk import walk
from plait.errors import ArgumentTypeError
from plait.graph import tree
from plait.models.editing import Edit
from plait.models.history import Edits
from plait.models.targets import matches, no_match


class Editable:
    """The part of a model that changes its graph."""

    def _init_editing(self) -> None:
        self._edits = Edits(self.describe())  # type: ignore[attr-defined]

    def edit(self, rebuild: str | None = None) -> Edit:
        """Return a transaction on the graph: ``with model.edit() as edit: edit.insert_after(...)``.

        Args:
            rebuild: ``"downstream"``: layers whose weights no longer fit after a change of width
                are made anew; None: that is an error that names them.

        Example:
            >>> import plait
            >>> from plait import layers
            >>> x = plait.Input((8,))
            >>> model = plait.Model(x, layers.Dense(2)(layers.Dense(4, name="hidden")(x)))
            >>> with model.edit() as edit:
            ...     _ = edit.insert_after("hidden", layers.Dropout(0.5, name="drop"))
            >>> [layer.name for layer in model.layers][1:3]
            ['hidden', 'drop']
            >>> model.undo()
            "insert_after('hidden', Dropout 'drop')"
        """
        return Edit(self, rebuild)  # type: ignore[arg-type]

    def _once(self, verb: str, *args: Any, rebuild: str | None = None, **kwargs: Any) -> Any:
        with uncollected(), self.edit(rebuild) as edit:
            return getattr(edit, verb)(*args, **kwargs)

    def insert_after(self, target: Any, layer: Layer, rebuild: str | None = None) -> None:
        """Insert a layer behind another; see `Edit.insert_after`."""
        self._once("insert_after", target, layer, rebuild=rebuild)

    def insert_before(self, target: Any, layer: Layer, rebuild: str | None = None) -> None:
        """Insert a layer in front of another; see `Edit.insert_before`."""
        self._once("insert_before", target, layer, rebuild=rebuild)

    def insert_between(
        self, source: Any, target: Any, layer: Layer, rebuild: str | None = None
    ) -> None:
        """Insert a layer on one edge; see `Edit.insert_between`."""
        self._once("insert_between", source, target, layer, rebuild=rebuild)

    def replace(self, target: Any, layer: Layer, rebuild: str | None = None) -> None:
        """Put a layer in place of another; see `Edit.replace`."""
        self._once("replace", target, layer, rebuild=rebuild)

    def remove(self, target: Any, keep: Any = None, rebuild: str | None = None) -> None:
        """Take a layer out; see `Edit.remove`."""
        self._once("remove", target, keep=keep, rebuild=rebuild)

    def rewire(self, target: Any, inputs: Any, rebuild: str | None = None) -> None:
        """Give a layer other inputs; see `Edit.rewire`."""
        self._once("rewire", target, inputs, rebuild=rebuild)

    def replace_all_uses_with(self, old: Any, new: Any, rebuild: str | None = None) -> None:
        """Let everything that uses one output use another; see `Edit.replace_all_uses_with`."""
        self._once("replace_all_uses_with", old, new, rebuild=rebuild)

    def add_output(self, name: str, at: Any) -> None:
        """Add an output; see `Edit.add_output`."""
        self._once("add_output", name, at)

    def remove_output(self, target: Any) -> None:
        """Take an output away; see `Edit.remove_output`."""
        self._once("remove_output", target)

    def add_input(self, name: str, shape: Any, dtype: Any = None) -> None:
        """Add an input; see `Edit.add_input`."""
        self._once("add_input", name, shape, dtype)

    def remove_input(self, target: Any) -> None:
        """Take an input away; see `Edit.remove_input`."""
        self._once("remove_input", target)

    def rename(self, target: Any, name: str) -> None:
        """Give a layer another name; see `Edit.rename`."""
        self._once("rename", target, name)

    def replace_layers(self, pattern: str, function: Any, rebuild: str | None = None) -> list[str]:
        """Replace every layer that a pattern matches; see `Edit.replace_layers`."""
        changed: list[str] = self._once("replace_layers", pattern, function, rebuild=rebuild)
        return changed

    # -- history ----------------------------------------------------------------------------

    @property
    def edits(self) -> list[str]:
        """What was done to the graph, in words, the oldest first."""
        return self._edits.log

    def undo(self) -> str:
        """Take the last edit back and return what it was.

        Layers that come back have the weights they had when they left; layers that stay keep
        the weights they have now. Losses and metrics go back too, unless `compile` set new ones.

        Raises:
            GraphError: there is nothing to undo.
        """
        return self._edits.undo()

    def redo(self) -> str:
        """Make the edit again that `undo` took back, and return what it was.

        Raises:
            GraphError: there is nothing to redo.
        """
        return self._edits.redo()

    # -- freezing ---------------------------------------------------------------------------

    def freeze(self, *targets: Any) -> list[str]:
        """Stop training layers, at once; returns their paths.

        Args:
            *targets: layers, or globs of paths, with the class if you like: ``"encoder/**"``,
                ``"*:BatchNormalization"``; default: all. Optimizer slots stay for `unfreeze`.

        Raises:
            GraphError: nothing matches.
        """
        return self._set_trainable(targets or ("**",), False)

    def unfreeze(self, *targets: Any) -> list[str]:
        """Train layers again, at once; returns their paths.

        Args:
            *targets: as for `freeze`.

        Raises:
            GraphError: nothing matches.
        """
        return self._set_trainable(targets or ("**",), True)

    def _set_trainable(self, targets: Sequence[Any], trainable: bool) -> list[str]:
        known = dict(walk(self))  # type: ignore[arg-type]
        found: dict[str, Layer] = {}
        for target in tree.flatten(targets):
            if isinstance(target, Layer):
                matching = {path: layer for path, layer in known.items() if layer is target}
            elif isinstance(target, str):
                matching = {
                    p: layer for p, layer in known.items() if p and matches(target, p, layer)
                }
            else:
                raise ArgumentTypeError(
                    f"freeze takes patterns of paths and layers; received {target!r}.",
                    fix="model.freeze('encoder/**'), model.freeze(layer)",
                )
            if not matching:
                raise no_match(self, target if isinstance(target, str) else target.name)
            found |= matching
        for layer in found.values():
            layer.trainable = trainable
        if trainable:
            # A frozen layer freezes what is in it, so those around must not be frozen either.
            for path in found:
                parts = path.split("/")
                for length in range(len(parts)):
                    around = known.get("/".join(parts[:length]))
                    if around is not None and not around.trainable:
                        around._trainable = True
        return list(found)
