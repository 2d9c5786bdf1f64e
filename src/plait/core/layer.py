"""Layers: configuration, variables, and a `call`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import numpy as np

from plait.core import calling, dtypes, naming, registry
from plait.core.registry import Configurable, captured, deserialize, serialize
from plait.core.scope import current_scope
from plait.core.spec import InputSpec, is_shape, standardize_shape
from plait.core.variable import Variable
from plait.core.walk import contained, mark_changed
from plait.core.weights import Weights
from plait.errors import (
    ArgumentTypeError,
    ConfigError,
    GraphError,
    Location,
    NotBuiltError,
    ShapeError,
    did_you_mean,
    user_location,
)
from plait.graph import tree
from plait.graph.naming import check_rename
from plait.graph.node import Node, calls_of, describe_layer
from plait.graph.tensor import any_symbolic

_UNSET = object()
_PLAIN = frozenset({str, int, float, bool, type(None)})
_NOT_CHILDREN = frozenset(
    {"_variables", "_captured", "_losses", "_compiled", "_built_for", "location"}
)


class Layer(Weights, Configurable):
    """Configuration, variables and a computation.

    A subclass writes `__init__`, makes variables in `build(input_shape)` with `add_weight`, and
    computes in `call(inputs)` with `plait.ops` or `jax.numpy`. Layers and variables kept in
    attributes, also in lists and dicts, belong to it. `build` may be left out when `call` only
    uses other layers; `compute_output_shape` is inferred when it is not given.

    Args:
        activity_regularizer: a function of the output, added to the loss as a mean over the batch.
        trainable: whether its variables are trained.
        dtype: a dtype or policy such as ``"mixed_bfloat16"``; default: the global policy.
        autocast: whether floating inputs are cast to the compute dtype.
        name: default: the class in snake case, numbered.
        input_shape: the shape of the input without the batch; lets a `Sequential` build at once.
        batch_input_shape: the same with the batch.

    Attributes:
        input_spec: what it accepts as input; an `InputSpec` stands for one tensor, so that a list
            of them is refused, a list for several, None for anything.
        supports_masking: set it in a class that computes each step of a sequence on its own: the
            mask of the input is then that of the output.
        keeps_integers: set it in a class that only moves values: whole numbers stay whole.
        merges: set it in a class that takes a list of tensors.
        call_advice: the fix that errors about the shape of the input name.

    Example:
        >>> import plait
        >>> from plait import layers
        >>> class Scale(layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight(shape=input_shape[-1:], initializer="ones")
        ...     def call(self, inputs):
        ...         return inputs * self.factor
        >>> Scale()(plait.Input((3,))).shape
        (None, 3)
    """

    input_spec: InputSpec | list[InputSpec] | None = None
    supports_masking: bool = False
    keeps_integers: ClassVar[bool] = False
    warns_of_lost_masks: ClassVar[bool] = True
    routes_masks: ClassVar[bool] = False
    merges: ClassVar[bool] = False
    call_advice: ClassVar[str | None] = None
    _auto_name: ClassVar[str | None] = None
    _more_arguments: ClassVar[tuple[str, ...]] = ("trainable", "dtype", "name", "input_shape")
    _call_parameters: ClassVar[Mapping[str, inspect.Parameter]]
    _call_signature: ClassVar[inspect.Signature]
    _call_takes_one: ClassVar[bool] = False
    _build_parameters: ClassVar[tuple[str, ...]] = ("input_shape",)
    _shape_parameters: ClassVar[tuple[str, ...]] = ()
    _init_parameters: ClassVar[Mapping[str, inspect.Parameter]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in cls.__dict__ or not hasattr(cls, "_call_parameters"):
            parameters = list(inspect.signature(cls.call).parameters.values())[1:]
            cls._call_signature = inspect.Signature(_context_optional(parameters))
            cls._call_parameters = cls._call_signature.parameters
            cls._call_takes_one = _takes_one(cls._call_parameters)
        if _differs(cls, "build"):
            cls._build_parameters = _parameter_names(cls.build)
        if "build" in cls.__dict__:
            cls.build = _marking_built(cls.build)  # type: ignore[method-assign]
        if _differs(cls, "compute_output_shape"):
            cls._shape_parameters = _parameter_names(cls.compute_output_shape)
        if _differs(cls, "__init__"):
            cls._init_parameters = inspect.signature(cls.__init__).parameters

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.dtype_policy = dtypes.get(dtype)
        self.autocast = autocast
        self._trainable = bool(trainable)
        self._variables: dict[str, Variable] = {}
        self._losses: list[Any] = []
        self._name = naming.check_name(
            name if name is not None else naming.auto_name(self._auto_name_prefix())
        )
        self._named = name is not None
        self.built = False
        self.location: Location | None = user_location()
        self.activity_regularizer = _regularizer(activity_regularizer)
        self.batch_input_shape = _input_shape(type(self), kwargs)
        if kwargs:
            unknown = next(iter(kwargs))
            known = [*inspect.signature(type(self).__init__).parameters, *self._more_arguments]
            hint = did_you_mean(unknown, known)
            raise ArgumentTypeError(
                f"{type(self).__name__} has no argument {unknown!r}.{hint}",
                fix="leave it out, or take it in your layer's own __init__",
            )

    @classmethod
    def _auto_name_prefix(cls) -> str:
        return cls._auto_name or naming.snake_case(cls.__name__)

    # -- identity ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name; unique within a model.

        Raises:
            GraphError: it is set to the name of another layer of the same model.
        """
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        check_rename(self, naming.check_name(name))
        self._name, self._named = name, True

    @property
    def is_named(self) -> bool:
        """Whether it was given a name, rather than an automatic one."""
        return self._named

    @property
    def path(self) -> str:
        """The name; the path within a model is in `walk(model)`."""
        return self._name

    @property
    def display_name(self) -> str:
        """How errors and pictures call its kind: the name of its class."""
        return type(self).__name__

    def describe(self, location: Location | None = None) -> str:
        """Return how errors name it: class, name, line."""
        return describe_layer(self, location or self.location)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self._name}, built={self.built}>"

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        held = own.get(name, _UNSET)
        if "_variables" not in own and isinstance(value, (Layer, Variable)):
            _require_super(type(self))
        if isinstance(held, Variable) and isinstance(value, (np.ndarray, jax.Array)):
            raise ConfigError(
                f"{self.describe()}: an array cannot take the place of variable '{name}'.",
                fix=f"layer.{name}.assign(value)",
            )
        super().__setattr__(name, value)
        if held is not value:
            mark_changed(self)

    def __getattr__(self, name: str) -> Any:
        if isinstance(getattr(type(self), name, None), property):
            return object.__getattribute__(self, name)  # raises what the property raised
        makes_variables = type(self).build is not Layer.build and not name.startswith("_")
        if makes_variables and not self.__dict__.get("built", True):
            raise NotBuiltError(
                f"{self.describe()} has no {name!r}: it is not built, so it has no variables yet.",
                fix="call it on data, or build it: layer.build(input_shape)",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- dtypes -----------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """The dtype of its variables."""
        return self.dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of its variables."""
        return self.dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype it computes in."""
        return self.dtype_policy.compute_dtype

    # -- building ---------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make the variables; called once, with the shape of the first input (batch included)."""
        self.built = True

    def add_weight(
        self,
        shape: Sequence[int] | int | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str | None = None,
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Make a variable of this layer.

        Args:
            shape: default: a scalar.
            initializer: a name, an object or a function; default: glorot_uniform for floats,
                zeros for the rest.
            dtype: default: the layer's variable dtype.
            trainable: whether it is trained.
            autocast: whether it is read in the compute dtype.
            regularizer: adds to the loss.
            constraint: applied after every update.
            aggregation: accepted for Keras' sake; replicas of plait always agree.
            overwrite_with_gradient: accepted for Keras' sake; must be False.
            name: default: ``"variable"``; a name taken in this layer gets a number.
        """
        if "_variables" not in self.__dict__:
            _require_super(type(self))
        scope = current_scope()
        if scope is not None and scope.closed:
            raise ConfigError(
                f"{self.describe()} is made inside call(): it would be new at every call, and "
                "never be trained.",
                fix="make it in __init__ or build: self.dense = layers.Dense(8)",
            )
        if overwrite_with_gradient:
            raise ConfigError("overwrite_with_gradient=True is not supported.")
        if isinstance(shape, str):
            raise ConfigError(
                f"add_weight takes the shape first; received {shape!r}.",
                fix=f"self.add_weight(shape=..., name={shape!r})",
            )
        dtype = dtypes.standardize(dtype or self.variable_dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtypes.is_float(dtype) else "zeros"
        sizes = (shape,) if isinstance(shape, int) else tuple(shape or ())
        if None in sizes:
            raise ShapeError(
                f"cannot make its {name} of shape {sizes}: an axis of its input has no known size.",
                fix="give that size in Input(shape=...)",
            )
        name = naming.free_name(name or "variable", self._variables)
        variable = Variable(
            registry.resolve("initializers", initializer),
            sizes,
            dtype,
            trainable,
            autocast,
            name,
            path=f"{self._name}/{name}",
            regularizer=registry.resolve("regularizers", regularizer),
            constraint=registry.resolve("constraints", constraint),
        )
        self._variables[name] = variable
        mark_changed(self)
        return variable

    add_variable = add_weight

    # -- calling ----------------------------------------------------------------------------

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute; subclasses override it."""
        raise NotImplementedError(f"{type(self).__name__} has no call() method.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arrays, or add a node to a graph when given symbolic tensors."""
        if "_variables" not in self.__dict__:
            _require_super(type(self))
        if any_symbolic(args, kwargs):
            return calling.symbolic_call(self, args, kwargs)
        if current_scope() is not None:
            return calling.traced_call(self, args, kwargs)
        return calling.concrete_call(self, args, kwargs)

    def apply(
        self,
        variables: Mapping[str, Any],
        *args: Any,
        training: bool | None = None,
        rng: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Compute as a pure JAX function, to use with `jax.grad`, `jax.jit`, `jax.vmap`.

        Args:
            variables: path -> array, for instance ``model.state()``; those left out keep the
                values they have.
            *args: the inputs.
            training: whether this is training.
            rng: a key for layers that draw, such as Dropout.
            **kwargs: further arguments of `call`.

        Returns:
            The outputs, and the variables that changed (path -> new value).

        Raises:
            ConfigError: `variables` holds a path that is not this layer's.

        Example:
            >>> import jax, plait
            >>> dense = plait.layers.Dense(1)
            >>> dense.build((None, 2))
            >>> loss = lambda v, x: dense.apply(v, x)[0].sum()
            >>> sorted(jax.grad(loss)(dense.state(), jax.numpy.ones((4, 2))))
            ['bias', 'kernel']
        """
        return calling.apply(self, variables, args, kwargs, training, rng)

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Compute as a pure function over lists of values, as Keras does.

        Returns:
            ``(outputs, non_trainable_variables)``, and the losses when asked.
        """
        return calling.stateless_call(
            self, trainable_variables, non_trainable_variables, args, kwargs, return_losses
        )

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the shape of the output for shapes of the inputs."""
        return calling.output_shapes(self, args, kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the output; by default that of the input."""
        return previous_mask

    def add_loss(self, loss: Any) -> None:
        """Add a scalar, or an array whose sum counts, to the loss; call it in `call`."""
        for item in loss if isinstance(loss, list | tuple) else [loss]:
            scope = current_scope()
            if scope is not None:
                scope.losses.append(item)
            else:
                self._losses.append(item)

    @property
    def losses(self) -> list[Any]:
        """What `add_loss`, activity and weight regularizers add, as of the last concrete call."""
        scope = current_scope()
        added = scope.losses if scope is not None else self._losses
        return [*added, *self.regularization_losses()]

    def regularization_losses(self) -> list[Any]:
        """Return the regularizer of every trainable variable, applied to it."""
        return [
            variable.regularizer(variable.value)
            for variable in self.trainable_variables
            if variable.regularizer is not None
        ]

    # -- what belongs to it -----------------------------------------------------------------

    def _children(self) -> Iterator[tuple[str, Layer | Variable]]:
        """Yield what attributes hold: (path segment, layer or variable)."""
        for attribute, value in self.__dict__.items():
            if type(value) in _PLAIN or not isinstance(value, (Layer, Variable, list, tuple, dict)):
                continue
            if isinstance(value, Layer):
                yield attribute.lstrip("_"), value
            elif isinstance(value, Variable):
                if self._variables.get(value.name) is not value:
                    yield attribute if value.name == "variable" else value.name, value
            elif value and attribute not in _NOT_CHILDREN:
                yield from contained(attribute.lstrip("_"), value)

    @property
    def input(self) -> Any:
        """The symbolic tensors of its only call, nested as they were passed.

        Raises:
            GraphError: it was called several times, or never.
        """
        node = self._only_call("input")
        return node.args[0] if node.args else next(iter(node.kwargs.values()))

    @property
    def output(self) -> Any:
        """The symbolic tensors that its only call returned, to build another model from.

        Raises:
            GraphError: it was called several times, or never.
        """
        return self._only_call("output").output_structure

    def _only_call(self, what: str) -> Node:
        calls = calls_of(self)
        if len(calls) == 1:
            return calls[0]
        if not calls:
            raise NotBuiltError(
                f"{self.describe()} has no {what}: it was not called on a symbolic tensor.",
                fix="call it: y = layer(plait.Input((8,)))",
            )
        raise GraphError(
            f"{self.describe()} was called {len(calls)} times, so its {what} is not one tensor.",
            details=[(str(node.location or ""), *map(str, node.output_shapes)) for node in calls],
            fix="keep what the call returned: y = layer(x)",
        )

    # -- copies -----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return what `copy` and `pickle` take along: all but compiled calls and last losses."""
        return {**self.__dict__, "_compiled": None, "_losses": []}

    # -- configuration ----------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data, with name, trainable and dtype."""
        config = super().get_config()
        for transient in ("input_shape", "batch_input_shape", "weights"):
            config.pop(transient, None)
        head = {
            "name": self._name,
            "trainable": self._trainable,
            "dtype": serialize(self.dtype_policy),
        }
        return {**head, **{k: v for k, v in config.items() if k not in head}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a layer, without its weights, from what `get_config` returned."""
        arguments = {name: deserialize(value) for name, value in config.items()}
        accepted = cls._init_parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
        later = {}
        if not takes_any:
            for name in ("name", "trainable", "dtype"):
                if name not in accepted and name in arguments:
                    later[name] = arguments.pop(name)
        layer = cls(**arguments)
        if "name" in later:
            layer.name = later["name"]
        if later.get("trainable") is False:
            layer.trainable = False
        if later.get("dtype") is not None:
            layer.dtype_policy = dtypes.get(later["dtype"])
        return layer

    def clone(self, **changes: Any) -> Self:
        """Make an unbuilt layer with the same configuration and name; layers within are cloned."""
        own = tree.map_structure(
            lambda value: value.clone() if isinstance(value, Layer) else value, captured(self)
        )
        arguments = {**own, **changes}
        accepted = type(self)._init_parameters
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
        if takes_any or "name" in accepted:
            arguments.setdefault("name", None)
            arguments["name"] = changes.get("name", self._name)
        layer = type(self)(**arguments)
        if layer._name != (name := changes.get("name", self._name)):
            layer.name = name
        layer._named = self._named or "name" in changes
        layer._trainable = self._trainable
        return layer


Layer._call_signature = inspect.Signature()
Layer._call_parameters = {}
Layer._init_parameters = inspect.signature(Layer.__init__).parameters


def _differs(cls: type, method: str) -> bool:
    """Return whether a class has another method of a name than one of its bases."""
    own = getattr(cls, method)
    return any(getattr(base, method, None) is not own for base in cls.__bases__)


def _parameter_names(method: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(method).parameters)[1:]


def _takes_one(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Return whether one positional argument is all that a call needs."""
    first, *rest = parameters.values() or (None,)
    return (
        first is not None
        and first.kind not in (first.KEYWORD_ONLY, first.VAR_KEYWORD)
        and all(p.default is not p.empty or p.kind.name.startswith("VAR") for p in rest)
    )


def _context_optional(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Let `training` and `mask` at the end of `call` be left out: whoever calls fills them in."""
    result = list(parameters)
    for index, parameter in reversed(list(enumerate(parameters))):
        if parameter.kind.name.startswith("VAR") or parameter.default is not parameter.empty:
            continue
        if parameter.name not in ("training", "mask"):
            break
        result[index] = parameter.replace(default=None)
    return result


def _marking_built(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def marked(self: Layer, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.built = True
        if len(args) == 1 and not kwargs:
            object.__setattr__(self, "_built_for", args[0])

    return marked


def _regularizer(identifier: Any) -> Callable[[Any], Any] | None:
    return None if identifier is None else registry.resolve("regularizers", identifier)


def _input_shape(cls: type, kwargs: dict[str, Any]) -> Any:
    kwargs.pop("input_dtype", None)
    batch_size = kwargs.pop("batch_size", None)
    whole = kwargs.pop("batch_input_shape", None) or kwargs.pop("batch_shape", None)
    shape = kwargs.pop("input_shape", None)
    if "input_dim" in kwargs:
        shape = (kwargs.pop("input_dim"),)
    if whole is not None:
        return standardize_shape(whole)
    if shape is None:
        return None
    if not is_shape(shape):
        raise ConfigError(
            f"{cls.__name__}: input_shape is a tuple of sizes without the batch; "
            f"received {shape!r}.",
            fix="input_shape=(28, 28)",
        )
    return (batch_size, *standardize_shape(shape))


def _require_super(cls: type) -> None:
    raise ConfigError(
        f"{cls.__name__}.__init__ uses the layer before the layer exists.",
        fix="call super().__init__(**kwargs) first",
    )
