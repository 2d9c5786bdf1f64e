"""The edits of a model: what was done, and what was taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plait.errors import GraphError


@dataclass(frozen=True)
class Step:
    """One edit: in words, (model, state before, state after), and (layer, old name, new name)."""

    log: list[str]
    models: list[tuple[Any, Any, Any]]
    names: list[tuple[Any, str, str]]

    @property
    def words(self) -> str:
        """What was done, in one line."""
        return "; ".join(line.strip() for line in self.log)


class Edits:
    """The steps that led to a model's graph, and those undone that can be made again.

    Args:
        who: how errors name the model.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.done: list[Step] = []
        self.undone: list[Step] = []

    @property
    def log(self) -> list[str]:
        """What was done, the oldest first."""
        return [line for step in self.done for line in step.log]

    def remember(self, step: Step) -> None:
        """Add a step; what was undone cannot be made again then."""
        self.done.append(step)
        self.undone.clear()

    def undo(self) -> str:
        """Take the last step back.

        Raises:
            GraphError: there is none.
        """
        step = self._last(self.done, "undo")
        _go([(layer, old) for layer, old, _ in step.names], [m[:2] for m in step.models])
        self.undone.append(self.done.pop())
        return step.words

    def redo(self) -> str:
        """Make the last step again that was taken back.

        Raises:
            GraphError: there is none.
        """
        step = self._last(self.undone, "redo")
        _go([(layer, new) for layer, _, new in step.names], [m[::2] for m in step.models])
        self.done.append(self.undone.pop())
        return step.words

    def _last(self, steps: list[Step], what: str) -> Step:
        if not steps:
            raise GraphError(f"{self.who} has nothing to {what}.")
        return steps[-1]


def _go(names: list[tuple[Any, str]], models: list[tuple[Any, ...]]) -> None:
    asked = [model._asked_names() for model, _ in models]
    for layer, name in names:
        layer._name = name
    for (model, snapshot), before in zip(models, asked, strict=True):
        model._restore(snapshot, before)
