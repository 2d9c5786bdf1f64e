"""The four ways to call a layer: on symbolic tensors, inside a trace, on arrays, and purely."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from plait.core import masks, random
from plait.core.infer import abstract_call, infer
from plait.core.scope import Scope, current_scope
from plait.core.spec import check_inputs, input_details, shapes_of
from plait.core.variable import Variable, unwrapped
from plait.core.waiting import wait_briefly
from plait.core.walk import signature, structure_version, variables_by_path, walk
from plait.errors import (
    ArgumentTypeError,
    ConfigError,
    Location,
    PlaitError,
    ShapeError,
    did_you_mean,
    is_user_file,
    user_location,
)
from plait.graph import tree
from plait.graph.node import Node
from plait.graph.tensor import SymbolicTensor

if TYPE_CHECKING:
    from plait.core.layer import Layer

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def is_array(value: Any) -> bool:
    """Return whether a value is an array: NumPy's, JAX's, a tracer, or a variable."""
    return isinstance(value, np.ndarray | np.generic | jax.Array | Variable)


def _tensors(structure: Any) -> list[Any]:
    return [
        leaf
        for leaf in tree.flatten(structure)
        if isinstance(leaf, SymbolicTensor) or is_array(leaf)
    ]


# -- on symbolic tensors --------------------------------------------------------------------


def symbolic_call(layer: Layer, args: Args, kwargs: Kwargs) -> Any:
    """Add a node: build the layer, infer what comes out, compute nothing."""
    location = user_location()
    with errors_name(layer, args, kwargs, location):
        _check_arguments(layer, args, kwargs)
        ensure_built(layer, args, kwargs)
        _check(layer, args)
        specs = infer(layer, args, kwargs)
    return Node(layer, args, kwargs, specs, location).output_structure


def output_shapes(layer: Layer, shape_args: Args, shape_kwargs: Kwargs) -> Any:
    """Return nested output shapes for nested input shapes."""
    from plait.core.spec import is_shape, standardize_shape

    def tensor(shapes: Any) -> Any:
        if is_shape(shapes):
            return SymbolicTensor(standardize_shape(shapes), layer.compute_dtype)
        if isinstance(shapes, Mapping):
            return {key: tensor(item) for key, item in shapes.items()}
        return [tensor(item) for item in shapes]

    args = tuple(tensor(shape) for shape in shape_args)
    kwargs = {name.removesuffix("_shape"): tensor(s) for name, s in shape_kwargs.items()}
    specs = infer(layer, args, kwargs)
    return map_specs(lambda spec: spec.shape, specs)


def map_specs(function: Any, specs: Any) -> Any:
    """Apply a function to each `TensorSpec` of a nested structure."""
    if hasattr(specs, "shape"):
        return function(specs)
    if isinstance(specs, Mapping):
        return {key: map_specs(function, item) for key, item in specs.items()}
    return type(specs)(map_specs(function, item) for item in specs)


@contextmanager
def errors_name(
    layer: Layer, args: Args, kwargs: Kwargs, location: Location | None
) -> Iterator[None]:
    """Let every error that leaves the block name the layer, its line and its inputs."""
    try:
        yield
    except PlaitError as error:
        if error.located:
            raise
        who = layer.describe(location)
        if error.what.startswith(layer.describe()):
            raise
        raise error.at(who, input_details(_tensors((args, kwargs)))) from error
    except (TypeError, ValueError, IndexError, NotImplementedError) as error:
        _raise_named(layer, args, kwargs, location, error)


def _raise_named(
    layer: Layer, args: Args, kwargs: Kwargs, location: Location | None, error: Exception
) -> None:
    _check_arguments(layer, args, kwargs)
    who = layer.describe(location)
    if isinstance(error, _VALUE_ERRORS):
        wrapped: PlaitError = ArgumentTypeError(
            f"{who} uses the value of a tensor in Python (if, while, int(), NumPy), but call() is "
            "compiled for all values.",
            fix="write it with plait.ops or jax.numpy, for instance plait.ops.where(x > 0, x, 0)",
        )
        wrapped.located = True
        raise wrapped from error
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    about_types = isinstance(error, TypeError) and not re.search("shape|dimension", first)
    wrapped = (ArgumentTypeError if about_types else ShapeError)(
        f"{who} cannot be applied to its input: {first}",
        details=[*input_details(_tensors((args, kwargs))), *_raised_at(error)],
        fix=layer.call_advice,
    )
    wrapped.located = True
    raise wrapped from error


def _raised_at(error: Exception) -> list[tuple[str, ...]]:
    """Return the user's line within `call` that an error comes from, as a detail of an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_user_file(frame.filename)]
    return [
        ("raised at", str(Location(frame.filename, frame.lineno or 0)), frame.line or frame.name)
        for frame in own[-1:]
    ]


_VALUE_ERRORS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def _check_arguments(layer: Layer, args: Args, kwargs: Kwargs) -> None:
    from plait.core.layer import Layer

    if type(layer).call is Layer.call:
        missing = ConfigError(
            f"{layer.describe(user_location())} has no call() method.",
            fix="write call(self, inputs) in its class",
        )
        missing.located = True
        raise missing
    if len(args) == 1 and not kwargs and type(layer)._call_takes_one:
        return
    signature = type(layer)._call_signature
    given = {name: value for name, value in kwargs.items() if name != "training"}
    try:
        signature.bind(*args, **given)
    except TypeError as mismatch:
        known = [*signature.parameters, "training"]
        hints = [did_you_mean(name, known) for name in given if name not in known]
        error = ArgumentTypeError(
            f"{layer.describe(user_location())}: {mismatch}.{''.join(hints[:1])}",
            fix=f"call it as {layer.name}({', '.join(signature.parameters)})",
        )
        error.located = True
        raise error from None


def _check(layer: Layer, args: Args) -> None:
    if layer.input_spec is None or not args:
        return
    first = args[0]
    single = not isinstance(layer.input_spec, list | tuple)
    if single and isinstance(first, list | tuple):
        raise ArgumentTypeError(
            f"takes one tensor, but received a {type(first).__name__} of {len(first)}.",
            details=input_details(_tensors(first)),
            fix="pass one of them, or join them first: layers.Concatenate()([a, b])"
            if len(first) > 1
            else f"pass the tensor itself: {layer.name}(x) instead of {layer.name}([x])",
        )
    check_inputs("", layer.input_spec, _tensors(first), layer.call_advice)


# -- building -------------------------------------------------------------------------------


def ensure_built(layer: Layer, args: Args, kwargs: Kwargs) -> None:
    """Make the layer's variables, and those of layers within, if that was not done yet."""
    if not layer.built:
        _check(layer, args)
        before = dict(layer._variables)
        try:
            _build(layer, args, kwargs)
        except Exception:
            layer._variables.clear()
            layer._variables.update(before)
            raise
        layer.built = True
    scope = current_scope()
    if scope is None and _has_unbuilt(layer):
        abstract_call(layer, args, kwargs)


def _has_unbuilt(layer: Layer) -> bool:
    return any(not current.built for _, current in walk(layer))


def _build(layer: Layer, args: Args, kwargs: Kwargs) -> None:
    from plait.core.layer import Layer

    build = type(layer).build
    if build is Layer.build:
        return
    names = type(layer)._build_parameters
    if len(names) <= 1:
        first = args[0] if args else next(iter(kwargs.values()), None)
        layer.build(*([shapes_of(first)] if names else []))
        return
    given = _bind(layer, args, kwargs)
    layer.build(
        **{
            name: shapes_of(given[name.removesuffix("_shape")])
            for name in names
            if given.get(name.removesuffix("_shape")) is not None
        }
    )


def _bind(layer: Layer, args: Args, kwargs: Kwargs) -> dict[str, Any]:
    return dict(type(layer)._call_signature.bind_partial(*args, **kwargs).arguments)


# -- inside a trace -------------------------------------------------------------------------


def traced_call(layer: Layer, args: Args, kwargs: Kwargs, location: Location | None = None) -> Any:
    """Run `call` on tracers in the current scope."""
    location = location or user_location()
    with errors_name(layer, args, kwargs, location):
        ensure_built(layer, args, kwargs)
        _check(layer, args)
        scope = current_scope()
        if scope is None or scope.observer is None:
            return run_call(layer, args, kwargs)
        return scope.observer.call(
            layer, location, (args, kwargs), lambda args, kwargs: run_call(layer, args, kwargs)
        )


def run_call(layer: Layer, args: Args, kwargs: Kwargs) -> Any:
    """Run `call` in the current scope: cast inputs, pass `training` and masks, collect losses."""
    scope = current_scope()
    assert scope is not None
    parameters = type(layer)._call_parameters
    args, kwargs = context_by_name(args, kwargs, parameters)
    args, kwargs = tree.map_structure(lambda leaf: _cast(layer, scope, leaf), (args, kwargs))
    outer = scope.training, scope.compute_dtype
    training = _training(kwargs, parameters, scope.training)
    input_masks = masks.gather(layer, scope, args, kwargs, parameters)
    scope.path.append(layer)
    scope.training = training
    scope.compute_dtype = layer.compute_dtype if layer.autocast else None
    try:
        outputs = unwrapped(layer.call(*args, **kwargs))
        if outputs is None and not layer.routes_masks:
            raise ArgumentTypeError(
                "returned nothing from call().", fix="end call() with: return outputs"
            )
        if layer.activity_regularizer is not None:
            _regularize_activity(layer, scope, outputs)
    finally:
        scope.path.pop()
        scope.training, scope.compute_dtype = outer
    masks.propagate(layer, scope, args, outputs, input_masks)
    return outputs


def context_by_name(
    args: Args, kwargs: Kwargs, parameters: Mapping[str, inspect.Parameter]
) -> tuple[Args, Kwargs]:
    """Move `training` and masks that were passed by position to the keyword arguments."""
    names = [
        name
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ][: len(args)]
    for index, name in enumerate(names):
        if index and (name == "training" or name.endswith("mask")):
            moved = dict(zip(names[index:], args[index:], strict=False))
            return args[:index], {**moved, **kwargs}
    return args, kwargs


def _cast(layer: Layer, scope: Scope, leaf: Any) -> Any:
    if not is_array(leaf):
        return leaf
    array = leaf.value if isinstance(leaf, Variable) else jnp.asarray(leaf)
    if layer.autocast and jnp.issubdtype(array.dtype, jnp.floating):
        wanted = layer.compute_dtype
        if array.dtype != wanted:
            cast = array.astype(wanted)
            mask = scope.get_mask(leaf)
            if mask is not None:
                scope.set_mask(cast, mask)
            return cast
    return array


def _training(
    kwargs: Kwargs, parameters: Mapping[str, inspect.Parameter], context: bool | None
) -> bool | None:
    training = kwargs.pop("training", None)
    if training is None:
        training = context
    if "training" in parameters:
        if training is None:
            default = parameters["training"].default
            training = default if isinstance(default, bool) else False
        kwargs["training"] = training
    return training


def _regularize_activity(layer: Layer, scope: Scope, outputs: Any) -> None:
    for output in tree.flatten(outputs):
        if is_array(output):
            scope.losses.append(layer.activity_regularizer(output) / output.shape[0])  # type: ignore[misc]


# -- on arrays ------------------------------------------------------------------------------


class _Compiled:
    """The compiled calls of one layer, valid while its structure stays as it is.

    Attributes:
        functions: by the structure of the arguments.
        again: those of `functions` that were called with one array, by its shape and dtype.
    """

    def __init__(self, layer: Layer) -> None:
        self.version = structure_version()
        self.signature = signature(layer)
        self.variables = list(variables_by_path(layer).values())
        self.functions: dict[Any, Any] = {}
        self.again: dict[Any, Any] = {}


def compiled(layer: Layer) -> _Compiled:
    """Return the layer's compiled calls; none are kept if it or a layer within has changed."""
    known = _still_valid(layer)
    if known is not None:
        return known
    known = layer.__dict__.get("_compiled")
    if known is not None and known.signature == signature(layer):
        known.version = structure_version()
    else:
        known = _Compiled(layer)
        object.__setattr__(layer, "_compiled", known)
    return known


def _still_valid(layer: Layer) -> _Compiled | None:
    known: _Compiled | None = layer.__dict__.get("_compiled")
    return known if known is not None and known.version == structure_version() else None


def concrete_call(layer: Layer, args: Args, kwargs: Kwargs) -> Any:
    """Run on arrays through one compiled function for each structure of arguments."""
    one, known = _only_array(args, kwargs), _still_valid(layer)
    function = known.again.get(one) if known is not None else None
    if known is not None and function is not None:  # It is like a call that was checked.
        return _run_compiled(layer, known, function, [*args], [None])
    args = _arrays_first(layer, args)
    leaves = tree.flatten((args, kwargs))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return _call_in_foreign_trace(layer, args, kwargs)
    location = user_location()
    with errors_name(layer, args, kwargs, location):
        if known is None:
            ensure_built(layer, args, kwargs)
            known = compiled(layer)
        _check(layer, args)
        arrays = [leaf for leaf in leaves if is_array(leaf)]
        static = tuple(None if is_array(leaf) else leaf for leaf in leaves)
        input_masks = [masks.attached(array) for array in arrays]
        structure = tree.map_structure(lambda _: None, (args, kwargs))
        key = (_hashable(structure), _hashable(static), tuple(m is None for m in input_masks))
        function = known.functions.get(key)
        if function is None:
            function = _compile(layer, known.variables, (args, kwargs))
        plain = [a.concrete_value() if isinstance(a, Variable) else a for a in arrays]
        outputs = _run_compiled(layer, known, function, plain, input_masks)
    known = compiled(layer)
    known.functions[key] = function
    if one is not None:
        known.again[one] = function
    return outputs


def _only_array(args: Args, kwargs: Kwargs) -> Any:
    """Return what calls with one array and at most `training` have in common, else None."""
    if len(args) != 1 or len(kwargs) > ("training" in kwargs):
        return None
    array, training = args[0], kwargs.get("training")
    if not isinstance(array, np.ndarray) and (
        not isinstance(array, jax.Array) or isinstance(array, jax.core.Tracer)
    ):
        return None
    if masks.attached(array) is not None or not (training is None or isinstance(training, bool)):
        return None
    return array.shape, array.dtype, training


def _run_compiled(
    layer: Layer, known: _Compiled, function: Any, arrays: list[Any], array_masks: list[Any]
) -> Any:
    for variable in known.variables:
        if variable.owner is not None:
            variable.owner.release()
    values = [variable.concrete_value() for variable in known.variables]
    outputs, output_masks, changed, losses = function(
        values, arrays, array_masks, random.base_seed(), random.call_counter()
    )
    for index, value in changed.items():
        known.variables[index].assign(value)
    object.__setattr__(layer, "_losses", losses)
    masks.attach(outputs, output_masks)
    wait_briefly(jax.tree.leaves(outputs))
    return outputs


def _arrays_first(layer: Layer, args: Args) -> Args:
    """Return the arguments with numbers written out as the input made an array."""
    from plait.core.layer import Layer

    if not args:
        return args
    if any(is_array(leaf) for leaf in tree.flatten(args[0])):
        _refuse_objects(layer, args)
        return args
    first = args[0]
    numbers = [leaf for leaf in tree.flatten(first) if isinstance(leaf, int | float)]
    if isinstance(first, list | tuple) and numbers:
        return (np.asarray(first), *args[1:])
    if first is None or isinstance(first, int | float | str | bytes | type | Layer | FunctionType):
        shown = repr(first) if not isinstance(first, str) else f"the text {first!r}"
        who = layer.describe(user_location())
        raise ArgumentTypeError(
            f"{who} takes arrays or symbolic tensors; received {shown}.",
            fix=f"{layer.name}(np.asarray(...)), or {layer.name}(plait.Input(shape=...))",
        )
    return args


def _refuse_objects(layer: Layer, args: Args) -> None:
    for leaf in tree.flatten(args[0]):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OSU":
            raise ArgumentTypeError(
                f"{layer.describe(user_location())} takes arrays of numbers; received one of "
                f"{leaf.dtype}.",
                fix="x.astype('float32')",
            )


def _compile(layer: Layer, variables: list[Variable], call: Any) -> Any:
    positions = {variable: index for index, variable in enumerate(variables)}
    template = tree.map_structure(lambda leaf: _ARRAY if is_array(leaf) else leaf, call)

    def pure(values: Any, arrays: Any, array_masks: Any, seed: Any, step: Any) -> Any:
        remaining = iter(arrays)
        args, kwargs = tree.map_structure(
            lambda leaf: next(remaining) if leaf is _ARRAY else leaf, template
        )
        with Scope(
            dict(zip(variables, values, strict=True)),
            rng=jax.random.key(seed),
            step=step,
            closed=True,
        ) as scope:
            for array, mask in zip(arrays, array_masks, strict=True):
                if mask is not None:
                    scope.set_mask(array, mask)
            outputs = run_call(layer, args, kwargs)
            output_masks = [scope.get_mask(leaf) for leaf in tree.flatten(outputs)]
        changed = {positions[v]: value for v, value in scope.changed.items() if v in positions}
        return outputs, output_masks, changed, scope.losses

    return jax.jit(pure)


_ARRAY = object()


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *(_hashable(item) for item in value))
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return type(value), value  # 1, 1.0 and True are equal


def _call_in_foreign_trace(layer: Layer, args: Args, kwargs: Kwargs) -> Any:
    """Run under somebody's own `jax.jit` or `jax.grad`: variables are constants there."""
    with Scope() as scope:
        outputs = traced_call(layer, args, kwargs)
    if scope.changed:
        paths = ", ".join(variable.path for variable in scope.changed)
        raise ConfigError(
            f"{layer.describe()} would change its variables ({paths}) inside a function that JAX "
            "is tracing.",
            fix="outputs, updates = layer.apply(layer.state(), x, training=True, rng=key)",
        )
    return outputs


# -- purely ---------------------------------------------------------------------------------


def apply(
    layer: Layer,
    values: Mapping[str, Any],
    args: Args,
    kwargs: Kwargs,
    training: bool | None,
    rng: Any,
) -> tuple[Any, dict[str, Any]]:
    """See `Layer.apply`."""
    ensure_built(layer, args, kwargs)
    known = variables_by_path(layer)
    for path in values:
        if path not in known:
            raise ConfigError(
                f"{layer.describe()} has no variable '{path}'.{did_you_mean(path, known)}",
                fix="pass model.state(), or part of it",
            )
    bound = {variable: values[path] for path, variable in known.items() if path in values}
    outputs, scope = _run_bound(layer, bound, args, kwargs, training, rng)
    paths = {variable: path for path, variable in known.items()}
    return outputs, {paths[v]: value for v, value in scope.changed.items() if v in paths}


def stateless_call(
    layer: Layer,
    trainable_values: Sequence[Any],
    other_values: Sequence[Any],
    args: Args,
    kwargs: Kwargs,
    return_losses: bool,
) -> tuple[Any, ...]:
    """See `Layer.stateless_call`."""
    ensure_built(layer, args, kwargs)
    trainable, others = layer.trainable_variables, layer.non_trainable_variables
    for what, variables, values in (
        ("trainable", trainable, trainable_values),
        ("non-trainable", others, other_values),
    ):
        if len(variables) != len(values):
            raise ShapeError(
                f"{layer.describe()} has {len(variables)} {what} variables; received {len(values)}."
            )
    bound = dict(zip([*trainable, *others], [*trainable_values, *other_values], strict=True))
    training, rng = kwargs.pop("training", None), kwargs.pop("rng", None)
    outputs, scope = _run_bound(layer, bound, args, kwargs, training, rng)
    updated = [scope.values[variable] for variable in others]
    if not return_losses:
        return outputs, updated
    with scope:
        return outputs, updated, [*scope.losses, *layer.regularization_losses()]


def _run_bound(
    layer: Layer, bound: dict[Variable, Any], args: Args, kwargs: Kwargs, training: Any, rng: Any
) -> tuple[Any, Scope]:
    step: Any = 0
    if rng is not None:
        step = jax.random.bits(rng, dtype="uint32")
    with Scope(bound, rng=rng, step=step, training=training) as scope:
        outputs = traced_call(layer, args, kwargs)
    return outputs, scope
