"""One call that checks a layer from all sides, with Keras as the oracle."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np

from plait.core.infer import abstract_call
from plait.graph import tree
from plait.graph.tensor import SymbolicTensor

LEFT_OUT = {
    "self", "args", "kwargs", "name", "dtype", "trainable", "autocast",
    "quantization_config", "lora_rank", "lora_alpha", "gptq_unpacked_column_size",
}  # fmt: skip


def check_layer(
    make_plait,
    make_keras,
    *inputs,
    training=(False, True),
    call_kwargs=None,
    rtol=1e-5,
    atol=1e-6,
    gradients=True,
    names=True,
    leave_out=(),
    copy_weights=None,
    spread=0.2,
    mixed=True,
):
    """Check a layer against Keras' and against itself; return (plait layer, Keras layer).

    Holds: same constructor arguments and defaults; same weights by name and order; same outputs,
    new state and gradients; spec shape and dtype == actual, with an unknown batch and in mixed
    precision; eager == compiled; configuration round trip.

    Args:
        make_plait: makes the plait layer.
        make_keras: makes the Keras layer.
        inputs: the positional arguments of the call: arrays, or lists and dicts of arrays.
        training: the values of `training` to compare; ``(False,)`` for layers that draw.
        call_kwargs: keyword arguments of the call (for instance ``mask``), for both layers.
        gradients: whether to compare gradients by weights and floating inputs.
        names: whether the names of weights must be Keras'.
        leave_out: constructor arguments of Keras that plait leaves out on purpose.
        copy_weights: ``(plait_layer, keras_layer)``; default: by order.
        spread: weights get uniform(0, spread) added, so that no bias is 0.
        mixed: whether to compare spec and trace under "mixed_bfloat16".
    """
    call_kwargs = call_kwargs or {}
    layer, oracle = make_plait(), make_keras()
    check_signature(type(layer), type(oracle), leave_out)

    symbolic = tree.map_structure(_symbol, inputs)
    symbolic_kwargs = tree.map_structure(_symbol, call_kwargs)
    spec = layer(*symbolic, **symbolic_kwargs)
    assert layer.built
    _check_spec_against_trace(layer, symbolic, symbolic_kwargs, spec)

    oracle_inputs, oracle_kwargs = tree.map_structure(_tensor, (inputs, call_kwargs))
    oracle(*oracle_inputs, **oracle_kwargs)
    _randomize(layer, spread)
    (copy_weights or _copy_by_order)(layer, oracle)
    if names:
        assert [w.name for w in layer.weights] == [w.name for w in oracle.weights]
    assert len(layer.trainable_weights) == len(oracle.trainable_weights)
    start = layer.get_weights()

    for mode in training:
        layer.set_weights(start)
        (copy_weights or _copy_by_order)(layer, oracle)
        oracle_mode = {"training": mode} if oracle._call_has_training_arg else {}
        state = layer.state()
        actual = layer(*inputs, training=mode, **call_kwargs)
        eager, _ = layer.apply(state, *inputs, training=mode, rng=jax.random.key(0), **call_kwargs)
        expected = oracle(*oracle_inputs, **oracle_kwargs, **oracle_mode)
        _close(actual, expected, rtol, atol, f"output, training={mode}", dtypes=True)
        _close(eager, actual, rtol, atol, f"eager against compiled, training={mode}")
        _check_spec_against_output(spec, actual, inputs)
        if copy_weights is None:
            _close(layer.get_weights(), oracle.get_weights(), rtol, atol, f"state, training={mode}")
            if gradients:
                layer.set_weights(start)
                oracle.set_weights(start)
                ours = _gradients(layer, inputs, call_kwargs, mode)
                theirs = _keras_gradients(oracle, oracle_inputs, oracle_kwargs, oracle_mode)
                _close(ours, theirs, rtol * 10, atol * 10, f"gradients, training={mode}")

    layer.set_weights(start)
    (copy_weights or _copy_by_order)(layer, oracle)
    _check_config(layer, inputs, call_kwargs, symbolic, symbolic_kwargs, rtol, atol)
    if mixed:
        config = {**layer.get_config(), "dtype": "mixed_bfloat16"}
        half = type(layer).from_config(config)
        half_spec = half(*symbolic, **symbolic_kwargs)
        _check_spec_against_trace(half, symbolic, symbolic_kwargs, half_spec)
    return layer, oracle


def check_signature(ours, theirs, leave_out=()):
    """Check that a class takes Keras' constructor arguments with Keras' defaults, in order."""
    have = inspect.signature(ours.__init__).parameters
    want = inspect.signature(theirs.__init__).parameters
    wanted = [n for n in want if n not in LEFT_OUT and n not in leave_out]
    present = [n for n in have if n not in LEFT_OUT and n in wanted]
    assert present == wanted, f"{ours.__name__} takes {present}, Keras takes {wanted}"
    for name in wanted:
        assert have[name].default == want[name].default, f"default of {name}"


def _symbol(value):
    if not isinstance(value, np.ndarray | jax.Array):
        return value
    return SymbolicTensor((None, *value.shape[1:]) if value.ndim else (), str(value.dtype))


def _tensor(value):
    return jnp.asarray(value) if isinstance(value, np.ndarray) else value


def _randomize(layer, spread):
    rng = np.random.default_rng(0)
    layer.set_weights(
        [
            w + rng.uniform(0, spread, w.shape).astype(w.dtype) if w.dtype.kind == "f" else w
            for w in layer.get_weights()
        ]
    )


def _copy_by_order(layer, oracle):
    oracle.set_weights(layer.get_weights())


def _leaves(outputs):
    return [leaf for leaf in tree.flatten(outputs) if leaf is not None]


def _close(actual, expected, rtol, atol, what, dtypes=False):
    ours, theirs = _leaves(actual), _leaves(expected)
    assert len(ours) == len(theirs), f"{what}: {len(ours)} arrays, expected {len(theirs)}"
    for a, b in zip(ours, theirs, strict=True):
        if dtypes:
            assert jnp.asarray(a).dtype == jnp.asarray(b).dtype, what
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, what
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=what)


def _check_spec_against_trace(layer, symbolic, symbolic_kwargs, spec):
    """Hold what `compute_output_shape` says against an abstract trace of `call`."""
    traced = abstract_call(layer, symbolic, symbolic_kwargs)
    said, found = _leaves(spec), [s for s in _spec_leaves(traced) if s is not None]
    assert [s.shape for s in said] == [s.shape for s in found]
    assert [s.dtype for s in said] == [s.dtype for s in found]


def _spec_leaves(specs):
    if specs is None or hasattr(specs, "shape"):
        return [specs]
    items = specs.values() if isinstance(specs, dict) else specs
    return [leaf for item in items for leaf in _spec_leaves(item)]


def _check_spec_against_output(spec, outputs, inputs):
    batch = next((leaf.shape[0] for leaf in tree.flatten(inputs) if np.ndim(leaf)), None)
    for said, found in zip(_leaves(spec), _leaves(outputs), strict=True):
        shape = tuple(batch if size is None else size for size in said.shape)
        assert shape == found.shape, f"spec says {said.shape}, output is {found.shape}"
        assert said.dtype == found.dtype.name


def _check_config(layer, inputs, call_kwargs, symbolic, symbolic_kwargs, rtol, atol):
    config = layer.get_config()
    json.dumps(config)
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert json.dumps(again.get_config()) == json.dumps(config)
    assert layer.clone().get_config() == config
    again(*symbolic, **symbolic_kwargs)
    again.set_weights(layer.get_weights())
    _close(
        again(*inputs, training=False, **call_kwargs),
        layer(*inputs, training=False, **call_kwargs),
        rtol,
        atol,
        "after the configuration's round trip",
    )


def _is_float(leaf):
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def _loss(outputs):
    total = 0.0
    for index, leaf in enumerate(_leaves(outputs)):
        if _is_float(leaf):
            weight = np.random.default_rng(index).normal(size=leaf.shape).astype("float32")
            total += (leaf * weight).sum()
    return jnp.asarray(total, "float32")


def _split(inputs):
    """Return the floating inputs and a function that puts them back."""
    floats = [jnp.asarray(leaf) for leaf in tree.flatten(inputs) if _is_float(leaf)]

    def put_back(values):
        remaining = iter(values)
        return tree.map_structure(lambda leaf: next(remaining) if _is_float(leaf) else leaf, inputs)

    return floats, put_back


def _gradients(layer, inputs, call_kwargs, mode):
    floats, put_back = _split(inputs)
    state = layer.state()
    trained = {id(v) for v in layer.trainable_variables}
    paths = [p for p, v in zip(state, layer.variables, strict=True) if id(v) in trained]
    rest = {path: value for path, value in state.items() if path not in paths}

    @jax.jit
    def loss(weights, values):
        outputs, _ = layer.apply(
            {**rest, **dict(zip(paths, weights, strict=True))},
            *put_back(values),
            training=mode,
            rng=jax.random.key(0),
            **call_kwargs,
        )
        return _loss(outputs)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))([state[path] for path in paths], floats)


def _keras_gradients(oracle, inputs, call_kwargs, mode):
    floats, put_back = _split(inputs)
    others = [v.value for v in oracle.non_trainable_variables]

    def loss(weights, values):
        outputs, _ = oracle.stateless_call(
            weights, others, *put_back(values), **call_kwargs, **mode
        )
        return _loss(outputs)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(
        [v.value for v in oracle.trainable_variables], floats
    )
