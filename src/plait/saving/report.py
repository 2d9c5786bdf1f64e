"""What became of each weight when a file was read into a model."""

from __future__ import annotations

from dataclasses import dataclass, field

_SHOWN = 20


@dataclass
class LoadReport:
    """What became of each weight.

    Attributes:
        source: the file.
        loaded: path in the model -> path in the file.
        missing: paths in the model that the file has nothing for.
        unused: paths in the file that belong to no weight of the model.
        mismatched: path in the model -> (its shape, the shape in the file).
    """

    source: str
    loaded: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every weight was found, and everything in the file was used."""
        return not (self.missing or self.unused or self.mismatched)

    def rows(self) -> list[tuple[str, ...]]:
        """Return what does not fit, as rows of cells, the longest lists cut short."""
        rows: list[tuple[str, ...]] = [("missing in the file", path) for path in self.missing]
        rows += [
            ("another shape", path, f"{ours}, in the file {theirs}")
            for path, (ours, theirs) in self.mismatched.items()
        ]
        rows += [("unused", path) for path in self.unused]
        cut = [(f"... and {len(rows) - _SHOWN} more",)] if len(rows) > _SHOWN else []
        return rows[:_SHOWN] + cut

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        lines = [f"loaded {len(self.loaded)} of {total} weights from '{self.source}'"]
        lines += ["  " + "  ".join(row) for row in self.rows()]
        return "\n".join(lines)
