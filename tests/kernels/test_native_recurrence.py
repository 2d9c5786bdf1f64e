"""Native LSTM and GRU against XLA's: values, all gradients, and ways to transform them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from both import check_equal, check_threads, natively, normal, on_xla
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plait
from plait import datasets, kernels, layers, losses, optimizers
from plait.kernels import recurrence

pytestmark = pytest.mark.usefixtures("native_kernels")
pays = recurrence.pays


@pytest.fixture(autouse=True, scope="module")
def at_every_size():
    """Use the native kernels where XLA is faster as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence, "pays", lambda *sizes: True)
        yield


@pytest.mark.parametrize("gru", [False, True])
@pytest.mark.parametrize(
    ("sizes", "native"),
    [((64, 64, 32, 64), True), ((1, 64, 32, 64), False), ((64, 1, 32, 64), False)],
)
def test_small_recurrences_are_left_to_xla(monkeypatch, gru, sizes, native):
    monkeypatch.setattr(recurrence, "pays", pays)
    function = run(gru)
    jaxpr = jax.make_jaxpr(lambda *a: function(*a))(*arguments(gru, *sizes))
    assert ("plait_recurrence" in str(jaxpr)) == native


def arguments(gru, batch, steps, features, units, bias=True):
    """Return x, kernel, recurrent kernel, bias, h and c."""
    gates = 3 if gru else 4
    shapes = (
        (steps, batch, features),
        (features, gates * units),
        (units, gates * units),
        (2, gates * units) if gru else (gates * units,),
        (batch, units),
        (batch, units),
    )
    values = [0.5 * normal(seed, *shape) for seed, shape in enumerate(shapes)]
    values[3] = values[3] if bias else None
    return tuple(values)


def run(gru, keep=None, reverse=False):
    def function(x, kernel, recurrent, bias, h, c):
        if gru:
            return kernels.gru(x, kernel, recurrent, bias, h, keep, reverse)
        outputs, last = kernels.lstm(x, kernel, recurrent, bias, (h, c), keep, reverse)
        return outputs, *last

    return function


def loss(function):
    return lambda *a: sum(jnp.sum(jnp.sin(part)) for part in jax.tree.leaves(function(*a)))


def check_same(function, *values):
    ours = natively(function, *values, uses=["plait_recurrence"])
    check_equal(ours, on_xla(function, *values))


quick = settings(
    max_examples=12, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True
)


@quick
@given(
    gru=st.booleans(),
    sizes=st.tuples(
        st.integers(1, 9), st.integers(1, 4), st.integers(1, 20), st.sampled_from([1, 5, 16, 33])
    ),
    masked=st.booleans(),
    reverse=st.booleans(),
    bias=st.booleans(),
)
def test_values_and_gradients_are_those_of_xla(gru, sizes, masked, reverse, bias):
    keep = jnp.asarray(np.random.default_rng(6).random((sizes[1], sizes[0])) < 0.6)
    function = run(gru, keep if masked else None, reverse)
    by = tuple(range(6) if bias else (0, 1, 2, 4, 5))
    values = arguments(gru, *sizes, bias)
    check_same(lambda *a: (function(*a), jax.grad(loss(function), by)(*a)), *values)


def penalty(function):
    def value(*a):
        return jnp.sum(jax.grad(loss(function))(*a) ** 2)

    return value


@pytest.mark.parametrize("gru", [False, True], ids=["LSTM", "GRU"])
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.grad(penalty(f), (0, 1, 2)),
        lambda f: lambda *a: jax.jvp(f, a, a),
        lambda f: lambda *a: jax.hessian(loss(f), 4)(*a),
        lambda f: jax.grad(loss(jax.checkpoint(f)), (0, 1)),
        lambda f: jax.vmap(f, (0, None, None, None, None, None)),
        lambda f: jax.vmap(f, (None, 0, 0, None, None, None)),
        lambda f: jax.grad(loss(jax.vmap(f, (0, None, None, None, None, None))), (0, 1)),
    ],
    ids=["penalty", "jvp", "hessian", "checkpoint", "vmap-x", "vmap-kernels", "grad-of-vmap"],
)
def test_transformations(gru, transform, request):
    x, kernel, recurrent, *rest = arguments(gru, 2, 3, 4, 3)
    name = request.node.callspec.id
    if "vmap-x" in name or "grad-of" in name:
        x = jnp.stack([x, 2 * x])
    if "vmap-kernels" in name:
        kernel, recurrent = jnp.stack([kernel, -kernel]), jnp.stack([recurrent, -recurrent])
    check_same(transform(run(gru)), x, kernel, recurrent, *rest)


@pytest.mark.parametrize("gru", [False, True], ids=["LSTM", "GRU"])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_passes_through(gru, value):
    x, *rest = arguments(gru, 3, 4, 2, 5)
    values = x.at[1, 0, 0].set(value), *rest
    ours, theirs = jax.jit(lambda *a: run(gru)(*a))(*values), on_xla(run(gru), *values)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("gru", [False, True], ids=["LSTM", "GRU"])
def test_threads_share_the_kernels(gru):
    def step(*a):
        return run(gru)(*a), jax.grad(loss(run(gru)), (0, 1, 2, 3, 4))(*a)

    sizes = [(1, 3, 2, 5), (8, 6, 16, 16), (33, 8, 5, 32), (64, 12, 8, 33)]
    check_threads(step, [arguments(gru, *size) for size in sizes])


@pytest.mark.parametrize("layer", [layers.LSTM, layers.GRU])
def test_training_is_the_same_on_both(layer, restored):
    """An image is a sequence of its rows."""
    (x, y), _ = datasets.load_digits()
    x, y = x[:512].reshape(-1, 8, 8), y[:512]

    def train(which):
        plait.config.set_kernels(which)
        plait.utils.set_random_seed(0)
        model = plait.Sequential([layers.Input((8, 8)), layer(16), layers.Dense(10)])
        used = "plait_recurrence" in str(jax.make_jaxpr(lambda x: model(x))(x[:32]))
        assert used is (which == "auto")
        cross_entropy = losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizers.SGD(0.1, momentum=0.9), cross_entropy)
        fallen = model.fit(x, y, batch_size=32, epochs=3, verbose=0).history["loss"]
        assert fallen[-1] < 0.9 * fallen[0]
        return fallen, model.get_weights()

    check_equal(train("auto"), train("xla"))


def test_wrong_shapes_are_errors_in_python():
    x, kernel, *rest = arguments(False, 2, 3, 4, 5)
    with pytest.raises(Exception, match="the kernel does not fit"):
        jax.block_until_ready(run(False)(x, kernel[:3], *rest))
