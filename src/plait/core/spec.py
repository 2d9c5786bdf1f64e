"""What a layer accepts (`InputSpec`), and shapes and dtypes without values (`TensorSpec`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plait.errors import ConfigError, ShapeError
from plait.graph import tree
from plait.graph.tensor import Shape, SymbolicTensor


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A shape (None where unknown) and a dtype."""

    shape: Shape
    dtype: str


class InputSpec:
    """What a layer accepts as one input.

    Args:
        dtype: the dtype, or None for any.
        shape: the whole shape, None for any size.
        ndim: the rank.
        max_ndim: the largest rank.
        min_ndim: the smallest rank.
        axes: axis -> size.
        allow_last_axis_squeeze: whether a last axis of size 1 may be missing or extra.
        name: the key of the input when inputs are a dict.
        optional: whether None is accepted.
    """

    def __init__(
        self,
        dtype: str | None = None,
        shape: Shape | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype, self.shape = dtype, shape
        self.ndim = len(shape) if shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name, self.optional = name, optional

    def problem(self, shape: Shape) -> str | None:
        """Return why `shape` is not accepted ("a rank of 4"), or None if it is."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            last_may_differ = self.allow_last_axis_squeeze and abs(rank - self.ndim) == 1
            if not last_may_differ:
                return f"{self.ndim} axes, received {rank}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"at most {self.max_ndim} axes, received {rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"at least {self.min_ndim} axes, received {rank}"
        for axis, size in self.axes.items():
            if -rank <= axis < rank and size is not None and shape[axis] not in (size, None):
                return f"size {size} on axis {axis}, received {shape[axis]}"
        if self.shape is not None and rank == self.ndim:
            for axis, (want, have) in enumerate(zip(self.shape, shape, strict=True)):
                if want is not None and have not in (want, None):
                    return f"size {want} on axis {axis}, received {have}"
        return None

    def advice(self, shape: Shape) -> str | None:
        """Return one concrete fix for a shape that is not accepted, or None."""
        return None


def shape_of(value: Any) -> Shape | None:
    """Return the shape of an array or symbolic tensor, None for anything else."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return None
    return tuple(size if isinstance(size, int) else None for size in shape)


def shapes_of(structure: Any) -> Any:
    """Return the nested shapes of nested tensors; a list of tensors gives a list of shapes."""
    return tree.map_structure(shape_of, structure)


def is_shape(value: Any) -> bool:
    """Return whether a value is one shape rather than a nested structure of them."""
    return isinstance(value, list | tuple) and all(
        size is None or isinstance(size, int) for size in value
    )


def standardize_shape(shape: Any) -> Shape:
    """Return a shape as a tuple of sizes and None.

    Raises:
        ConfigError: it is no shape.
    """
    if isinstance(shape, int):
        raise ConfigError(
            f"a shape is a tuple of sizes; received the number {shape}.",
            fix=f"shape=({shape},)",
        )
    try:
        sizes = tuple(None if size is None else int(size) for size in shape)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"a shape is a tuple of whole numbers and None; received {shape!r}.",
            fix="for instance shape=(28, 28, 1)",
        ) from error
    if any(size is not None and size < 0 for size in sizes):
        raise ConfigError(
            f"the shape {sizes} has a negative size.", fix="write None for a size not known"
        )
    return sizes


def origin(tensor: Any) -> str:
    """Return where a tensor comes from, for an error's detail line."""
    if isinstance(tensor, SymbolicTensor) and tensor.node is not None:
        return f"from {tensor.node.describe()}"
    return "an array"


_SHOWN = 12


def input_details(tensors: list[Any]) -> list[tuple[str, ...]]:
    """Return an error's detail lines for the inputs of a call: index, shape, origin."""
    many = len(tensors) > 1
    rows: list[tuple[str, ...]] = []
    for index, tensor in enumerate(tensors[:_SHOWN]):
        name = f"inputs[{index}]" if many else "input"
        shape = str(shape_of(tensor))
        if not isinstance(tensor, SymbolicTensor) or tensor.node is None:
            rows.append((name, shape, "an array"))
            continue
        node = tensor.node
        kind = getattr(node.layer, "display_name", None) or type(node.layer).__name__
        where = str(node.location) if node.location else ""
        rows.append((name, shape, f"from {kind} '{node.layer.name}'", where))
    if len(tensors) > _SHOWN:
        rows.append((f"and {len(tensors) - _SHOWN} more",))
    return rows


def check_inputs(who: str, specs: Any, tensors: list[Any], advice: str | None) -> None:
    """Check tensors against a layer's `InputSpec` or list of them.

    Raises:
        ShapeError: one of them is not accepted.
    """
    specs = specs if isinstance(specs, list | tuple) else [specs]
    for spec, tensor in zip(specs, tensors, strict=False):
        shape = shape_of(tensor)
        if spec is None or shape is None:
            continue
        problem = spec.problem(shape)
        if problem:
            raise ShapeError(
                f"{who} expects {problem}: {shape}.".lstrip(),
                details=input_details([tensor]),
                fix=spec.advice(shape) or advice,
            )
