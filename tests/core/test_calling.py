"""The four ways to call a layer, and what a Keras user expects of layers."""

import copy
import gc
import pickle
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait import Input, Model, Sequential, layers
from plait.core.walk import variables_by_path

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


class Counting(layers.Layer):
    """Counts how often Python runs its call."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.log = []

    def call(self, inputs, power=1, training=None):
        self.log.append((inputs.shape, power, training))
        return inputs**power * self.factor


# -- concrete calls -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X, 2 * X),
        (jnp.asarray(X), 2 * X),
        (X.tolist(), 2 * X),
        (plait.Variable(X), 2 * X),
        (X.astype("float64"), 2 * X),
        ([1, 2, 3], [2, 4, 6]),
        (np.float32(3), 6),
    ],
)
def test_what_may_be_passed(given, expected):
    np.testing.assert_allclose(Counting()(given), expected, rtol=1e-5, atol=1e-6)


def test_python_runs_once_for_each_kind_of_call():
    layer = Counting()
    for _ in range(3):
        layer(X)
    assert layer.log == [((4, 3), 1, False)]
    layer(X[:2])
    layer(X, training=True)
    layer(X, 2)
    layer(X, power=2)
    assert len(layer.log) == 5
    for given in (1, True, 1.0):
        layer(X, given)
    assert [type(power) for _, power, _ in layer.log[5:]] == [int, bool, float]


def test_a_changed_attribute_is_seen():
    layer = Counting()
    layer(X)
    layer.factor = 5.0
    np.testing.assert_allclose(layer(X), 5 * X, rtol=1e-5, atol=1e-6)
    model = Sequential([Input((3,)), layer])
    np.testing.assert_allclose(model(X), 5 * X, rtol=1e-5, atol=1e-6)
    layer.factor = 7.0
    np.testing.assert_allclose(model(X), 7 * X, rtol=1e-5, atol=1e-6)


def test_a_layer_added_to_a_list_is_seen():
    class Stack(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = [Counting(3.0)]

        def call(self, inputs):
            for inner in self.inner:
                inputs = inner(inputs)
            return inputs

    stack = Stack()
    stack(X)
    stack.inner.append(Counting(5.0))
    np.testing.assert_allclose(stack(X), 15 * X, rtol=1e-5, atol=1e-6)


def test_concrete_calls_update_variables():
    norm = layers.BatchNormalization(momentum=0.5)
    norm(X)
    np.testing.assert_array_equal(norm.moving_mean, 0)
    norm(X, training=True)
    np.testing.assert_allclose(norm.moving_mean, X.mean(0) / 2, rtol=1e-5, atol=1e-6)


def test_a_call_like_an_earlier_one_sees_all_that_changed_since():
    norm = layers.BatchNormalization(momentum=0.5)
    for moment in range(1, 4):
        norm(X, training=True)
        np.testing.assert_allclose(norm.moving_mean, X.mean(0) * (1 - 0.5**moment), rtol=1e-5)
        before = norm.moving_mean.numpy()
        norm(X)
        norm(X, training=False)
        np.testing.assert_array_equal(norm.moving_mean, before)
    before = norm(X)
    norm.beta.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(norm(X), before + norm.beta, rtol=1e-5)
    ragged = layers.Embedding(5, 2, mask_zero=True)(np.array([[1, 2, 0]]))
    mean = layers.GlobalAveragePooling1D()
    plain = np.asarray(ragged)
    for _ in range(2):
        np.testing.assert_allclose(mean(plain), plain.mean(1), rtol=1e-5)
        np.testing.assert_allclose(mean(ragged), plain[:, :2].mean(1), rtol=1e-5)
    dropout = layers.Dropout(0.5)
    draws = [np.asarray(dropout(X, training=True)) for _ in range(3)]
    assert not (draws[1] == draws[2]).all()


def test_losses_are_those_of_the_last_call():
    class Adds(layers.Layer):
        def call(self, inputs):
            self.add_loss(inputs.sum())
            return inputs

    model = Sequential(
        [Input((3,)), Adds(), layers.Dense(1, "linear", kernel_regularizer="l2")], name="m"
    )
    for scale in (1, 2):
        model(X * scale)
        penalty = 0.01 * (model.layers[1].kernel.numpy() ** 2).sum()
        np.testing.assert_allclose(
            [float(item) for item in model.losses], [X.sum() * scale, penalty], rtol=1e-4
        )


# -- within JAX -----------------------------------------------------------------------------


def test_inside_the_users_own_transformations():
    dense = layers.Dense(2)
    dense.build((None, 3))
    kernel = dense.kernel.numpy()
    np.testing.assert_allclose(jax.jit(lambda x: dense(x))(X), X @ kernel, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(lambda x: dense(x[None])[0])(X), X @ kernel, rtol=1e-5, atol=1e-6
    )
    gradient = jax.grad(lambda x: dense(x).sum())(jnp.asarray(X))
    np.testing.assert_allclose(gradient, np.tile(kernel.sum(1), (4, 1)), rtol=1e-5, atol=1e-6)
    fresh = layers.Dense(2)
    jax.jit(lambda x: fresh(x))(X)
    assert fresh.kernel.numpy().shape == (3, 2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (layers.BatchNormalization, r"change its variables \(batch_norm(.|\n)*layer.apply"),
        (lambda: layers.Dropout(0.5), r"given no key(.|\n)*layer.apply"),
    ],
)
def test_state_and_draws_inside_the_users_own_transformations(make, text):
    layer = make()
    layer(X)
    with pytest.raises(plait.ConfigError, match=text):
        jax.jit(lambda x: layer(x, training=True))(X)


def test_apply_is_pure():
    norm = layers.BatchNormalization()
    norm.build((None, 3))
    outputs, updates = jax.jit(lambda v, x: norm.apply(v, x, training=True))(norm.state(), X)
    assert sorted(updates) == ["moving_mean", "moving_variance"]
    np.testing.assert_allclose(np.asarray(outputs).mean(0), 0, atol=1e-5)
    np.testing.assert_array_equal(norm.moving_mean, 0)
    part, _ = norm.apply({"beta": jnp.ones(3)}, X)
    np.testing.assert_allclose(part, norm(X) + 1, rtol=1e-5, atol=1e-6)
    drop = layers.Dropout(0.5)
    one, two, other = (
        drop.apply({}, X, training=True, rng=jax.random.key(k))[0] for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (np.asarray(one) != np.asarray(other)).any()
    with pytest.raises(plait.ConfigError, match=r"no variable 'betta'\. Did you mean 'beta'"):
        norm.apply({"betta": 1}, X)


def test_stateless_call():
    norm = layers.BatchNormalization(gamma_regularizer="l2")
    norm(X)
    trainable = [v.value for v in norm.trainable_variables]
    others = [v.value for v in norm.non_trainable_variables]
    outputs, updated, losses = norm.stateless_call(
        trainable, others, X, training=True, return_losses=True
    )
    np.testing.assert_allclose(updated[0], X.mean(0) * 0.01, rtol=1e-4)
    assert (outputs.shape, float(losses[0])) == ((4, 3), pytest.approx(0.03))
    np.testing.assert_array_equal(norm.moving_mean, 0)
    with pytest.raises(plait.ShapeError, match="2 trainable variables; received 1"):
        norm.stateless_call(trainable[:1], others, X)


# -- signatures of call ---------------------------------------------------------------------


def made(call, **members):
    return type("Made", (layers.Layer,), {"call": call, **members})()


@pytest.mark.parametrize(
    "call",
    [
        lambda self, inputs, training: inputs * (2.0 if training else 1.0),
        lambda self, inputs, training=None: inputs * (2.0 if training else 1.0),
        lambda self, inputs, training=False, mask=None: inputs * (2.0 if training else 1.0),
        lambda self, inputs, mask, training: inputs * (2.0 if training else 1.0),
        lambda self, inputs, *, training: inputs * (2.0 if training else 1.0),
    ],
)
def test_training(call):
    layer = made(call)
    x = Input((3,))
    model = Model(x, layer(x))
    for callee in (layer, model):
        np.testing.assert_array_equal(callee(X), X)
        np.testing.assert_array_equal(callee(X, training=True), 2 * X)
    fixed = Model(x, layer(x, training=True))
    np.testing.assert_array_equal(fixed(X, training=False), 2 * X)


def test_training_by_position():
    layer = made(lambda self, inputs, training=None: inputs * (2.0 if training else 1.0))
    np.testing.assert_array_equal(layer(X, True), 2 * X)
    x = Input((3,))
    np.testing.assert_array_equal(Model(x, layer(x, True))(X), 2 * X)


def test_training_reaches_layers_within_unless_they_are_told_otherwise():
    inner = made(lambda self, inputs, training=None: inputs * (2.0 if training else 1.0))
    outer = made(lambda self, inputs: inner(inputs) + inner(inputs, training=False))
    np.testing.assert_array_equal(outer(X, training=True), 3 * X)
    np.testing.assert_array_equal(outer(X), 2 * X)


def test_several_inputs_and_none():
    total = made(lambda self, *inputs: sum(inputs))
    x, y = Input((3,)), Input((3,))
    np.testing.assert_array_equal(total(X, X), 2 * X)
    np.testing.assert_array_equal(Model([x, y], total(x, y))([X, X]), 2 * X)
    maybe = made(lambda self, a, b=None: a if b is None else a + b)
    np.testing.assert_array_equal(Model(x, maybe(x, None))(X), X)
    np.testing.assert_array_equal(Model([x, y], maybe(a=x, b=y))([X, X]), 2 * X)
    listed = made(lambda self, pair: pair[0] if pair[1] is None else pair[0] + pair[1])
    np.testing.assert_array_equal(Model(x, listed([x, None]))(X), X)


# -- building -------------------------------------------------------------------------------


class Weighted(layers.Layer):
    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.units = units

    def build(self, input_shape):
        if input_shape[-1] != 3:
            raise ValueError("three, please")
        self.offset = self.add_weight(shape=(self.units,), trainable=False, name="offset")
        self.kernel = self.add_weight((3, self.units), "zeros")
        self.again = self.add_weight((3, self.units), "zeros")
        super().build(input_shape)

    def call(self, inputs):
        return inputs @ self.kernel * self.scale + self.offset


def test_weights_in_init_and_build():
    layer = Weighted()
    assert (layer.built, [v.name for v in layer.weights]) == (False, ["scale"])
    with pytest.raises(ValueError, match="three, please"):
        layer(np.ones((2, 4)))
    assert (layer.built, [v.name for v in layer.weights]) == (False, ["scale"])
    layer(X)
    names = ["scale", "variable", "variable_1", "offset"]
    assert (layer.built, [v.name for v in layer.weights]) == (True, names)
    assert [v.name for v in layer.trainable_weights] == names[:3]
    assert layer.weights[0].path == f"{layer.name}/scale"


def test_no_variable_is_lost():
    class Loose(layers.Layer):
        def __init__(self):
            super().__init__()
            self.a, self.b = plait.Variable(1.0), plait.Variable(2.0)
            self.c, self.e = plait.Variable(1.0, name="n"), plait.Variable(2.0, name="n")
            self.many = {"x": plait.Variable(0.0), "y": [plait.Variable(0.0)]}
            self.first = layers.Dense(2, name="d")
            self.d = layers.Dense(2)

        def call(self, inputs):
            return self.d(self.first(inputs)) + self.a + self.b

    loose = Loose()
    loose(X)
    assert list(variables_by_path(loose)) == [
        *("a", "b", "n", "n_1", "many/x", "many/y/0"),
        *("d/kernel", "d/bias", "d_1/kernel", "d_1/bias"),
    ]


def test_a_layer_that_knows_its_parent():
    class Child(layers.Layer):
        def __init__(self, parent):
            super().__init__()
            self.parent, self.dense = parent, layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    class Parent(layers.Layer):
        def __init__(self):
            super().__init__()
            self.child = Child(self)

        def call(self, inputs):
            return self.child(inputs)

    parent = Parent()
    assert parent(X).shape == (4, 2)
    assert list(variables_by_path(parent)) == ["child/dense/kernel", "child/dense/bias"]
    assert len(parent.child.weights) == 2


def trainable(layer):
    return len(layer.trainable_variables)


def test_trainable_before_and_around():
    dense = layers.Dense(2)
    dense.trainable = False
    dense(X)
    assert (trainable(dense), len(dense.non_trainable_weights)) == (0, 2)

    class Outer(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    frozen = Outer(trainable=False)
    frozen(X)
    assert trainable(frozen) == 0
    assert trainable(frozen.dense) == 2
    model = Sequential([Input((3,)), layers.Dense(2), layers.Dense(2)])
    model.trainable = False
    model.add(layers.Dense(2))
    assert trainable(model) == 0
    model.trainable = True
    model.layers[0].trainable = False
    assert trainable(model) == 4
    shared = layers.Dense(2)
    x = Input((3,))
    inner = Model(x, shared(x), trainable=False)
    y = Input((3,))
    assert trainable(Model(y, inner(y))) == 0
    assert trainable(Model(y, [inner(y), shared(y)])) == 2  # one way to it is not frozen


# -- copies, leaks, threads -----------------------------------------------------------------


def deep():
    x = h = Input((3,))
    for _ in range(1500):
        h = layers.Identity()(h)
    return Model(inputs=x, outputs=layers.Dense(2)(h))


def branched():
    x, y = Input((3,)), Input((3,), name="y")
    dense, tower = layers.Dense(3), Sequential([layers.Dense(2)])
    merged = layers.Add()([dense(x), dense(y)])
    return Model({"x": x, "y": y}, {"o": tower(merged), "p": [2 * x + y, dense(x)]})


def cut():
    x = Input((5,))
    h = layers.Dense(3, name="h")(x)
    return Model(h, layers.Dense(2)(h))


def subclassed():
    class Sub(Model):
        def __init__(self):
            super().__init__()
            self.blocks = [layers.Dense(2), layers.LayerNormalization()]

        def call(self, inputs):
            for block in self.blocks:
                inputs = block(inputs)
            return inputs

    globals()["Sub"] = Sub
    Sub.__qualname__ = "Sub"
    return Sub()


def trained():
    model = Sequential([Input((3,)), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, X[:, :1], verbose=0)
    return model


def dense():
    return layers.Dense(2)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("make", [deep, branched, cut, subclassed, trained, dense])
def test_copies_are_whole_and_apart(make, copied):
    original = make()
    inputs = {"x": X, "y": X + 1} if make is branched else X
    before = jax.tree.leaves(original(inputs))
    twin = copied(original)
    for one, other in zip(before, jax.tree.leaves(twin(inputs)), strict=True):
        np.testing.assert_array_equal(one, other)
    if isinstance(original, Model) and original.has_graph:
        assert str(twin.graph) == str(original.graph)
        assert twin.layers[-1].output is not None
    if make is trained:
        for model in (original, twin):
            model.fit(X, X[:, :1], epochs=2, shuffle=False, verbose=0)
        for one, other in zip(original.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    twin.set_weights([w * 0 + 9 for w in twin.get_weights()])
    assert not np.array_equal(original.get_weights()[0], twin.get_weights()[0])


def test_models_that_are_dropped_are_gone():
    dropped = []

    def one():
        x = Input((3,))
        model = Model(x, layers.Dense(1)(layers.BatchNormalization()(layers.Dense(3)(x))))
        model.compile("adam", "mse")
        model.fit(X, X[:, :1], verbose=0)
        model(X)
        dropped.extend(map(weakref.ref, [model, *model.layers, *model.variables]))

    one()
    gc.collect()
    assert [ref() for ref in dropped if ref() is not None] == []
    arrays = len(jax.live_arrays())
    objects = len(gc.get_objects())
    for _ in range(2):
        one()
    gc.collect()
    assert len(jax.live_arrays()) == arrays
    assert len(gc.get_objects()) < objects + 3000


def test_threads_do_not_meet():
    errors, results = [], {}

    def work(number):
        try:
            for _ in range(2):
                x = Input((3,))
                h = layers.Dropout(0.5)(layers.Dense(4)(x))
                model = Model(x, layers.Dense(number)(h))
                assert model(X, training=True).shape == (4, number)
                np.testing.assert_array_equal(shared(X), expected)
                results[number] = model.predict(X, verbose=0).shape
        except Exception as error:
            errors.append(error)

    shared = Sequential([Input((3,)), layers.Dense(2, "tanh")])
    expected = np.asarray(shared(X))
    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert results == {1: (4, 1), 2: (4, 2), 3: (4, 3)}


# -- errors ---------------------------------------------------------------------------------


class Raises(layers.Layer):
    def call(self, inputs):
        raise ValueError("because")


def old_order(self, shape):
    self.w = self.add_weight("w", (3, 2))


@pytest.mark.parametrize(
    ("run", "error", "text"),
    [
        (lambda: layers.Dense(2)(), TypeError, "missing a required argument: 'inputs'"),
        (lambda: layers.Dense(2)(None), plait.ArgumentTypeError, "received None"),
        (lambda: layers.Dense(2)(3.0), plait.ArgumentTypeError, "received 3.0"),
        (lambda: layers.Dense(2)(X, traning=True), TypeError, "Did you mean 'training'"),
        (lambda: layers.Layer(name="l")(X), plait.ConfigError, r"Layer 'l' .*has no call\(\)"),
        (lambda: Raises(name="r")(X), ValueError, r"Raises 'r' \(test_calling.py:\d+\).*because"),
        (
            lambda: Sequential([Input((3,)), Raises(name="r")]),
            ValueError,
            r"Raises 'r' \(test_calling.py:\d+\).*because",
        ),
        (
            lambda: made(lambda self, x: x, build=old_order)(X),
            plait.ConfigError,
            r"shape first; received 'w'(.|\n)*name='w'",
        ),
        (
            lambda: Model(x := Input((3,), batch_size=8, name="x"), layers.Dense(2)(x), name="m")(
                X
            ),
            plait.ShapeError,
            r"^Model 'm' \([^)]*\): input 'x' \([^)]*\) expects \(8, 3\), received \(4, 3\)",
        ),
        (lambda: layers.Dense(2).count_params(), plait.NotBuiltError, "has no variables yet"),
        (lambda: layers.Dense(2).set_weights([X]), plait.ShapeError, "call it on data"),
        (lambda: layers.Dense(2, input_shape=3), plait.ConfigError, "input_shape is a tuple"),
        (lambda: layers.Dense(2, name=3), plait.ConfigError, "name is a string"),
        (lambda: layers.Dense(2)(Input((None,))), plait.ShapeError, "no known size"),
    ],
)
def test_errors(run, error, text):
    with pytest.raises(error, match=text):
        run()
