"""A model as Python source that builds it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from plait.core import dtypes
from plait.core.layer import Layer
from plait.core.registry import captured
from plait.errors import ConfigError
from plait.graph import tree
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor
from plait.models.expressions import (
    Brackets,
    Expression,
    Names,
    Writer,
    call,
    constructor_parameters,
    flat,
    laid_out,
    quoted,
)
from plait.models.inventory import Inventory, is_input_layer, is_operation, layers_among
from plait.models.model import Model
from plait.models.sequential import Sequential

_OPERATORS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "true_divide": "/",
    "floor_divide": "//",
    "mod": "%",
    "power": "**",
    "matmul": "@",
}
_STRANDS = ("x", "y", "z", "u", "v", "w")
_TRANSIENT = frozenset({"input_shape", "batch_input_shape", "weights"})
_OF_INPUT = frozenset({"batch_shape", "batch_size", "input_dim", "input_dtype"})


def to_python(model: Model) -> str:
    """Return source that builds the same graph, without its weights.

    A chain is a `Sequential`; other graphs are calls of layers on tensors. Only arguments that are
    not the defaults are written, and names only where numbering would give others; numbering
    starts anew in the source, for names are what weights are found by. Classes and functions that
    are not plait's are imported from where they are defined.

    Args:
        model: a model with a graph; of a subclass that builds itself, its constructor is called.

    Raises:
        ConfigError: something cannot be written: an anonymous function, a large constant. The
            message names the layer and the argument.

    Example:
        >>> import plait
        >>> x = plait.Input((4,), name="x")
        >>> print(to_python(plait.Model(x, plait.layers.Dense(2, name="d")(x) * 2, name="m")))
        import plait
        from plait import layers
        <BLANKLINE>
        plait.utils.clear_session()
        <BLANKLINE>
        x = plait.Input((4,), name="x")
        y = layers.Dense(2, name="d")(x)
        outputs = y * 2
        model = plait.Model(x, outputs, name="m")
        <BLANKLINE>
    """
    return _Source(model).text()


class _Source:
    """Writes the statements that build one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.names = Names()
        self.writer = Writer(self.names, self._layer)
        self.lines: list[str] = []
        self.inventory = Inventory(model)
        self._numbers: Counter[str] = Counter()
        self._automatic = False
        self._variables: dict[int, str] = {}
        self._tensors: dict[SymbolicTensor, str] = {}
        self._temporary: dict[str, SymbolicTensor] = {}
        self._emitted: set[Node] = set()

    def text(self) -> str:
        """Return the source."""
        self._define_model(self.model, "model")
        anew = ["plait.utils.clear_session()", ""] if self._automatic else []
        return "\n".join([*self.writer.imports(), "", *anew, *self.lines, ""])

    def _assign(self, name: str, code: Expression) -> None:
        before = f"{name} = "
        self.lines.append(before + laid_out(code, before=len(before)))

    # -- names that plait gives -------------------------------------------------------------

    def _name(self, name: str, prefix: str, write: bool = False) -> dict[str, Expression]:
        """Return the argument `name`, if numbering does not give this name at this place."""
        count = self._numbers[prefix]
        given = f"{prefix}_{count}" if count else prefix
        if name == given and not write and prefix not in self.inventory.uncertain:
            self._numbers[prefix] += 1
            self._automatic = True
            return {}
        return {"name": quoted(name)}

    # -- models -----------------------------------------------------------------------------

    def _define_model(self, model: Model, name: str) -> str:
        """Write the statements that end with the definition of a model; return its variable."""
        self._variables[id(model)] = name
        style = self.inventory.styles[id(model)]
        if style == "constructor":
            code, later = self._construct(model)
            self._assign(name, code)
            self.lines += [f"{name}.{line}" for line in later]
            return name
        own = type(model) not in (Model, Sequential)
        cls = self.writer.reference(type(model)) if own else f"plait.{type(model).__name__}"
        if style == "chain":
            cls = cls if isinstance(model, Sequential) else "plait.Sequential"
            code = call(cls, Brackets("", "[]", tuple(self._stack(model))))
        else:
            self._strands(model, name)
            graph = model.graph
            code = call(cls, *map(self._structure, (graph.input_structure, graph.output_structure)))
            self._release([*graph.inputs, *graph.outputs])
        converted = style == "chain" and not isinstance(model, Sequential)
        extra: dict[str, Expression] = {}
        if not converted or model._named:
            extra = self._name(model.name, type(model)._auto_name_prefix())
        if not model._trainable:
            extra["trainable"] = "False"
        items = tuple((f"{key}=", item) for key, item in extra.items())
        self._assign(name, code._replace(items=code.items + items))
        return name

    def _stack(self, model: Model) -> list[tuple[str, Expression]]:
        chain = [layer for layer in model.layers if not is_input_layer(layer)]
        self._define_first(chain)
        items: list[Expression] = []
        if model.has_graph:
            node = model.graph.inputs[0].node
            assert node is not None
            items.append(self._input(node))
        items += [self._layer(layer) for layer in chain]
        return [("", item) for item in items]

    def _strands(self, model: Model, name: str) -> None:
        graph = model.graph
        top = model is self.model
        nodes = [node for node in self.inventory.nodes[id(model)] if node not in self._emitted]
        wanted: dict[SymbolicTensor, str] = {}
        keyed = isinstance(graph.output_structure, Mapping)
        for path, tensor in tree.leaves_with_path(graph.output_structure):
            if keyed or len(graph.outputs) > 1:
                wanted[tensor] = "_".join(path) if keyed else tensor.name
            elif top:
                wanted[tensor] = "outputs"
        for step in self.inventory.steps(model, nodes):
            if isinstance(step, Model):
                self._layer(step)
            elif step.is_input:
                auto = len(graph.inputs) == 1 and not step.layer._named
                label = ("inputs" if top else f"{name}_inputs") if auto else step.layer.name
                variable = self._tensors[step.outputs[0]] = self.names.fresh(label)
                self._assign(variable, self._input(step))
                self._emitted.add(step)
            elif step not in self._emitted:
                self._statement(step, wanted)

    def _input(self, node: Node) -> Expression:
        layer, tensor = node.layer, node.outputs[0]
        if not is_input_layer(layer):
            raise ConfigError(f"{node.describe()} takes no tensor and is no Input.")
        shape = tensor.shape
        options: dict[str, Expression] = {}
        if shape and shape[0] is None:
            code = call("plait.Input", self.writer.value(tuple(shape[1:])))
        else:
            code = call("plait.Input", batch_shape=self.writer.value(tuple(shape)))
        if tensor.dtype != dtypes.standardize(None):
            options["dtype"] = quoted(tensor.dtype)
        if layer.optional:
            options["optional"] = "True"
        options |= self._name(layer.name, type(layer)._auto_name_prefix())
        items = tuple((f"{key}=", item) for key, item in options.items())
        return code._replace(items=code.items + items)

    # -- calls ------------------------------------------------------------------------------

    def _statement(self, node: Node, wanted: Mapping[SymbolicTensor, str]) -> None:
        for tensor in node.inputs:
            if tensor not in self._tensors:
                raise ConfigError(f"{tensor.describe()} comes from no Input.")
        code = self._call(node)
        freed = self._release(node.inputs)
        self._emitted.add(node)
        structure = node.output_structure
        if isinstance(structure, SymbolicTensor):
            self._assign(self._result(structure, wanted, freed), code)
            return
        flat_list = isinstance(structure, list | tuple) and all(map(tree.is_leaf, structure))
        if flat_list and len(structure) > 1:
            targets = [
                "_" if leaf is None else self._result(leaf, wanted, freed) for leaf in structure
            ]
            self._assign(", ".join(targets), code)
            return
        variable = self.names.fresh(node.layer.name)
        self._assign(variable, code)
        for path, leaf in _places(structure):
            if leaf is not None:
                keys = "".join(f"[{flat(self.writer.value(key))}]" for key in path)
                self._tensors[leaf] = variable + keys

    def _result(
        self, tensor: SymbolicTensor, wanted: Mapping[SymbolicTensor, str], freed: list[str]
    ) -> str:
        if not self.inventory.uses[tensor]:
            return "_"
        if tensor in wanted:
            name = self.names.fresh(wanted[tensor])
        else:
            free = [*freed, *(name for name in _STRANDS if name not in self._temporary)]
            free = [name for name in free if self._temporary.get(name) is None]
            free = [name for name in free if name not in self.inventory.reserved]
            if free:
                name = free[0]
                self._temporary[name] = tensor
            else:
                name = self.names.fresh(tensor.name)
        self._tensors[tensor] = name
        return name

    def _release(self, tensors: list[SymbolicTensor]) -> list[str]:
        """Count uses that were written; return the variables of strands that end there."""
        freed = []
        for tensor in dict.fromkeys(tensors):
            self.inventory.uses[tensor] -= 1
            name = self._tensors[tensor]
            if self.inventory.uses[tensor] == 0 and self._temporary.get(name) is tensor:
                del self._temporary[name]
                freed.append(name)
        return freed

    def _call(self, node: Node) -> Expression:
        try:
            if is_operation(node.layer):
                return self._operation(node)
            callee = self._layer(node.layer)
            return call(callee, *map(self._structure, node.args), **self._named(node.kwargs))
        except ConfigError as error:
            if error.what.startswith(type(node.layer).__name__) or error.located:
                raise
            located = ConfigError(
                f"the call of {node.describe()} cannot be written as source: {error.what}",
                fix=error.fix,
            )
            located.located = True
            raise located from error

    def _named(self, kwargs: Mapping[str, Any]) -> dict[str, Expression]:
        return {name: self._structure(item) for name, item in kwargs.items()}

    def _operation(self, node: Node) -> Expression:
        function = node.layer.function
        args, kwargs = node.args, node.kwargs
        if self._name(node.layer.name, function.rpartition(".")[2]):
            code, _ = self._construct(node.layer)
            return call(code, *map(self._structure, args), **self._named(kwargs))
        if not kwargs and len(args) == 2 and function in _OPERATORS and all(map(_operand, args)):
            left, right = (flat(self._structure(arg)) for arg in args)
            left = f"({left})" if left.startswith("-") else left
            return f"{left} {_OPERATORS[function]} {right}"
        if function == "negative" and len(args) == 1:
            return f"-{flat(self._structure(args[0]))}"
        if function == "get_item" and len(args) == 2 and isinstance(args[0], SymbolicTensor):
            key = _key(args[1])
            if key is not None:
                return f"{self._tensors[args[0]]}[{key}]"
        head = self.writer.room("ops", function)
        return call(head, *map(self._structure, args), **self._named(kwargs))

    def _structure(self, structure: Any) -> Expression:
        """Return nested tensors and constants as an expression."""
        if isinstance(structure, SymbolicTensor):
            return self._tensors[structure]
        if isinstance(structure, Mapping):
            items = [(f"{flat(self.writer.value(k))}: ", v) for k, v in structure.items()]
            return Brackets("", "{}", tuple((k, self._structure(v)) for k, v in items))
        if isinstance(structure, list | tuple):
            named = hasattr(structure, "_fields")
            pair = "[]" if isinstance(structure, list) else "()"
            head = self.writer.reference(type(structure)) if named else ""
            return Brackets(head, pair, tuple(("", self._structure(item)) for item in structure))
        return self.writer.value(structure)

    # -- layers -----------------------------------------------------------------------------

    def _layer(self, layer: Layer) -> Expression:
        """Return a layer: its constructor, or a variable if it is used several times."""
        if id(layer) in self._variables:
            return self._variables[id(layer)]
        if isinstance(layer, Model):
            return self._define_model(layer, self.names.fresh(layer.name))
        code, later = self._construct(layer)
        if self.inventory.occurrences[id(layer)] < 2 and not later:
            return code
        variable = self._variables[id(layer)] = self.names.fresh(layer.name)
        self._assign(variable, code)
        self.lines += [f"{variable}.{line}" for line in later]
        return variable

    def _define_first(self, layers: list[Layer]) -> None:
        """Write the statements of layers that do not fit into the expression that holds them."""
        for layer in layers:
            takes_name = "name" in constructor_parameters(type(layer))  # type: ignore[arg-type]
            if isinstance(layer, Model) or self.inventory.occurrences[id(layer)] > 1:
                self._layer(layer)
            elif not takes_name:
                self.inventory.occurrences[id(layer)] += 1
                self._layer(layer)

    def _construct(self, layer: Layer) -> tuple[Expression, list[str]]:
        """Return a constructor's call, and attributes to set for what it does not take."""
        accepted = constructor_parameters(type(layer))  # type: ignore[arg-type]
        arguments = {
            name: value
            for name, value in captured(layer).items()
            if name not in _TRANSIENT
            and name not in ("name", "trainable", "dtype")
            and (name in accepted or name not in _OF_INPUT)
        }
        policy = captured(layer).get("dtype") or layer.dtype_policy.name
        if policy != "float32" and not is_operation(layer):
            arguments["dtype"] = policy
        self._define_first(layers_among(arguments))
        code = self.writer.constructed(layer, arguments)
        prefix = type(layer)._auto_name_prefix()
        settings: dict[str, Expression] = {}
        if is_operation(layer):
            settings = {"name": quoted(layer.name)}
        elif id(layer) in self.inventory.by_attribute:
            self._numbers[prefix] += 1
        else:
            write = id(layer) in self.inventory.inner and layer._named
            settings = self._name(layer.name, prefix, write)
        if not layer._trainable:
            settings["trainable"] = "False"
        items = [(f"{k}=", item) for k, item in settings.items() if k in accepted]
        later = [f"{k} = {flat(item)}" for k, item in settings.items() if k not in accepted]
        return code._replace(items=(*code.items, *items)), later


def _operand(value: Any) -> bool:
    return isinstance(value, SymbolicTensor | bool | int | float)


def _key(key: Any) -> str | None:
    """Return an index as it is written in brackets, None if it is no plain one."""
    if isinstance(key, tuple) and key:
        parts = [_key(item) for item in key]
        if None in parts or any(isinstance(item, tuple) for item in key):
            return None
        return ", ".join(map(str, parts)) + ("," * (len(parts) == 1))
    if isinstance(key, slice):
        ends = (key.start, key.stop, key.step)
        if not all(end is None or isinstance(end, int) for end in ends):
            return None
        shown = ["" if end is None else str(end) for end in ends]
        return ":".join(shown if shown[2] else shown[:2])
    if key is Ellipsis:
        return "..."
    return repr(key) if key is None or isinstance(key, int) else None


def _places(structure: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Return each leaf with the keys that lead to it, as they are."""
    if tree.is_leaf(structure):
        return [(path, structure)]
    items = structure.items() if isinstance(structure, Mapping) else enumerate(structure)
    return [place for key, item in items for place in _places(item, (*path, key))]
