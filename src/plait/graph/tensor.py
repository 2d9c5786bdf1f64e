"""Symbolic tensors: what `Input` and calls of layers on symbolic tensors return."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from plait.errors import ArgumentTypeError, Location
from plait.graph import tree
from plait.graph.foreign import refusal

if TYPE_CHECKING:
    from plait.graph.node import Node

Shape = tuple[int | None, ...]

_serial = itertools.count()
_operations: dict[str, Callable[..., Any]] = {}


def install_operation(name: str, function: Callable[..., Any]) -> None:
    """Say what an operator on symbolic tensors does; `plait.ops` calls this."""
    _operations[name] = function


class SymbolicTensor:
    """A tensor without values: the result of a layer call while a model is being built.

    Compared and hashed by identity; ``a == b`` builds a comparison, as on arrays.

    Attributes:
        shape: sizes; None where unknown, as the batch is.
        dtype: the name of the dtype.
        node: the call that makes it; None only for a bare specification.
        index: which output of that call it is.
    """

    __slots__ = ("__weakref__", "_name", "dtype", "index", "node", "serial", "shape")

    def __init__(
        self,
        shape: Shape,
        dtype: str = "float32",
        name: str | None = None,
        node: Node | None = None,
        index: int = 0,
    ) -> None:
        self.shape: Shape = tuple([None if size is None else int(size) for size in shape])
        self.dtype = dtype
        self.serial = next(_serial)
        self._name = name
        self.node = node
        self.index = index

    @property
    def name(self) -> str:
        """The name of the layer that makes it, which for an input is the input's."""
        if self.node is not None:
            return self.node.layer.name
        return self._name or f"tensor_{self.serial}"

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def location(self) -> Location | None:
        """The line of the user's code that made it."""
        return None if self.node is None else self.node.location

    def reshape(self, newshape: Any) -> SymbolicTensor:
        """Return ``ops.reshape(self, newshape)``."""
        return _operate("reshape", self, newshape)

    def squeeze(self, axis: Any = None) -> SymbolicTensor:
        """Return ``ops.squeeze(self, axis)``."""
        return _operate("squeeze", self, axis)

    @property
    def T(self) -> SymbolicTensor:
        """The transpose."""
        return _operate("transpose", self)

    def astype(self, dtype: Any) -> SymbolicTensor:
        """Return ``ops.cast(self, dtype)``."""
        return _operate("cast", self, dtype)

    def __repr__(self) -> str:
        made = f", from {self.node.describe()}" if self.node is not None else ""
        return f"<SymbolicTensor {self.name} {self.shape} {self.dtype}{made}>"

    __hash__ = object.__hash__
    __array_priority__ = 1000  # NumPy leaves ``numpy_array * tensor`` to the tensor

    def __getitem__(self, key: Any) -> SymbolicTensor:
        return _operate("get_item", self, key)

    def __eq__(self, other: object) -> Any:
        return _operate("equal", self, other)

    def __ne__(self, other: object) -> Any:
        return _operate("not_equal", self, other)

    def __iter__(self) -> NoReturn:
        raise ArgumentTypeError(
            f"{self.describe()} is symbolic: it has no values to iterate over.",
            fix="index it (x[:, 0]) or use plait.ops, for instance ops.unstack(x, axis=1)",
        )

    def _no_value(self, wanted: str) -> NoReturn:
        raise ArgumentTypeError(
            f"{self.describe()} is symbolic: it has no values while the model is being built, so "
            f"it cannot be {wanted}.",
            fix="use plait.ops (ops.mean(x), ops.where(...)) or a Lambda layer; a branch on values "
            "belongs in the call() of a Layer subclass",
        )

    def __bool__(self) -> NoReturn:
        self._no_value("true or false")

    def __len__(self) -> NoReturn:
        self._no_value("measured with len(); its sizes are in .shape")

    def __float__(self) -> NoReturn:
        self._no_value("a number")

    def __int__(self) -> NoReturn:
        self._no_value("a number")

    def __index__(self) -> NoReturn:
        self._no_value("an index")

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        self._no_value("a NumPy array")

    @property
    def __jax_array__(self) -> NoReturn:
        import plait.ops  # noqa: F401  (installs the operations)

        raise refusal(self.describe(), _operations)

    def describe(self) -> str:
        """Return how errors name it: layer, name, line."""
        if self.node is None:
            return f"tensor '{self.name}' {self.shape}"
        return self.node.describe()


KerasTensor = SymbolicTensor


def _operate(name: str, *args: Any) -> Any:
    if name not in _operations:
        import plait.ops  # noqa: F401  (installs the operations)
    return _operations[name](*args)


def _binary(name: str, reflected: bool) -> Callable[[SymbolicTensor, Any], Any]:
    def method(self: SymbolicTensor, other: Any) -> Any:
        return _operate(name, other, self) if reflected else _operate(name, self, other)

    return method


for _operator, _name in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
    "pow": "power",
    "matmul": "matmul",
    "and": "logical_and",
    "or": "logical_or",
    "xor": "logical_xor",
}.items():
    setattr(SymbolicTensor, f"__{_operator}__", _binary(_name, reflected=False))
    setattr(SymbolicTensor, f"__r{_operator}__", _binary(_name, reflected=True))
for _operator, _name in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}.items():
    setattr(SymbolicTensor, f"__{_operator}__", _binary(_name, reflected=False))
for _operator, _name in {"neg": "negative", "abs": "absolute", "invert": "logical_not"}.items():
    setattr(SymbolicTensor, f"__{_operator}__", lambda self, _name=_name: _operate(_name, self))


def any_symbolic(*structures: Any) -> bool:
    """Return whether a symbolic tensor is anywhere in nested arguments."""
    stack = list(structures)
    while stack:
        item = stack.pop()
        if isinstance(item, SymbolicTensor):
            return True
        if not tree.is_leaf(item):
            stack.extend(item.values() if isinstance(item, Mapping) else item)
    return False
