"""The live displays of `Progress`: a line in a terminal, and an output in a notebook."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from plait.training.pace import Pace

_BAR_WIDTH = 24


class Display(Protocol):
    """Something that shows one text, the newest."""

    @property
    def width(self) -> int:
        """Its columns."""

    def show(self, text: Text) -> None:
        """Replace what is shown."""

    def close(self) -> None:
        """Leave what is shown, and let go of the terminal."""


class _Terminal:
    def __init__(self, console: Console) -> None:
        # No thread draws: a thread would take the interpreter away from training.
        self._live = Live(Text(), console=console, auto_refresh=False)
        self._live.start()

    @property
    def width(self) -> int:
        return self._live.console.width

    def show(self, text: Text) -> None:
        self._live.update(text, refresh=True)

    def close(self) -> None:
        self._live.stop()


class _Notebook:
    def __init__(self, width: int) -> None:
        from IPython.display import display

        self.width = width
        self._handle: Any = display(Text(), display_id=True)

    def show(self, text: Text) -> None:
        self._handle.update(text)

    def close(self) -> None:
        pass


def open_display() -> Display | None:
    """Return a display on standard output, or None where none can be shown."""
    if hasattr(sys.stdout, "rich_proxied_file"):
        return None  # Another live display has this terminal.
    console = Console()
    if console.is_jupyter:
        return _Notebook(console.width)
    if console.is_terminal and not console.is_dumb_terminal:
        return _Terminal(console)
    return None


def draw(pace: Pace, now: float, measures: list[str], note: str | None, width: int) -> Text:
    """Return a text that shows a bar, times and measures.

    Args:
        pace: how far the run is.
        now: the time, in seconds.
        measures: "loss: 0.4321" and the like.
        note: what is going on, if it is not a step.
        width: the columns there are; lines break between measures.
    """
    text = Text(f"{pace.title} ")
    if pace.share is not None:
        full = round(_BAR_WIDTH * pace.share)
        text.append("━" * full, "green").append("━" * (_BAR_WIDTH - full), "bright_black")
        text.append(" ")
    text.append(pace.count(), "bold")
    remaining = pace.remaining(now)
    parts = [
        pace.elapsed(now),
        f"{remaining} left" if remaining else None,
        pace.speed(now) if pace.done else None,
        *measures,
        note,
    ]
    column = text.cell_len
    for part in filter(None, parts):
        needed = len(part) + 3
        column += needed
        if column > width:
            text.append("\n ")
            column = needed + 1
        text.append(f" - {part}")
    return text
