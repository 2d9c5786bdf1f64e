"""Shapes of outputs: given by a rule, traced with unknown sizes, or compared at two sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait import Input, Model, layers
from plait.graph import tree


def layer(call):
    """Return a layer of a `call(inputs)`, whose shape nobody wrote down."""
    return type("Traced", (layers.Layer,), {"call": lambda self, inputs: call(inputs)})()


def pad_to_seven(x):
    return jnp.pad(x, ((0, 0), (0, max(0, 7 - x.shape[1])))) if x.shape[1] < 7 else x


@pytest.mark.parametrize(
    ("call", "given", "expected"),
    [
        (lambda x: x * 2, (None, 3), (None, 3)),
        (lambda x: x.sum(-1), (None, None, 3), (None, None)),
        (lambda x: x.reshape(x.shape[0], -1), (None, 4, 3), (None, 12)),
        (lambda x: x.reshape(-1, 3), (None, 4, 3), (None, 3)),
        (lambda x: jnp.concatenate([x, x], 0), (None, 3), (None, 3)),
        (lambda x: jnp.concatenate([x, x], 1), (None, None), (None, None)),
        (lambda x: x[:, ::2], (None, None, 3), (None, None, 3)),
        (lambda x: x @ jnp.ones((3, 5)), (None, None, 3), (None, None, 5)),
        (lambda x: jnp.ones((2, 3)), (None, 3), (2, 3)),
        (lambda x: x.mean(), (None, 3), ()),
        (lambda x: x[:, None] - x[None], (None, 3), (None, None, 3)),
        (lambda x: jnp.arange(x.shape[1]) + x, (None, None), (None, None)),
        (pad_to_seven, (None, None), (None, None)),
        (
            lambda x: {"a": x, "b": [x[:, 0], None]},
            (None, 3),
            {"a": (None, 3), "b": [(None,), None]},
        ),
        (lambda x: (x, x.astype("int32")), (8, 3), ((8, 3), (8, 3))),
        (lambda x: x, (None, 0), (None, 0)),
    ],
)
def test_traced_shapes(call, given, expected):
    made = layer(call)(Input(batch_shape=given))
    shapes = tree.map_structure(lambda t: None if t is None else t.shape, made)
    assert shapes == expected
    assert type(made) is type(expected) or made.shape == expected


def test_dtypes_and_names_of_traced_outputs():
    floats, ints = layer(lambda x: (x, jnp.argmax(x, -1)))(Input((3,)))
    assert (floats.dtype, ints.dtype) == ("float32", "int32")
    assert (floats.index, ints.index) == (0, 1)


def test_what_is_inferred_is_what_comes():
    ragged = layer(pad_to_seven)
    x = Input((None,))
    model = Model(x, ragged(x))
    assert [model(np.ones((2, n), "float32")).shape for n in (3, 9)] == [(2, 7), (2, 9)]


def test_layers_within_are_built_by_the_trace():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = [layers.Dense(4), layers.Dense(5)]

        def call(self, inputs):
            for inner in self.inner:
                inputs = inner(inputs)
            return inputs

    block = Block()
    assert block.compute_output_shape((None, 3)) == (None, 5)
    assert block(Input((3,))).shape == (None, 5)
    assert [v.shape for v in block.variables] == [(3, 4), (4,), (4, 5), (5,)]


def test_a_rule_of_several_shapes():
    class Pair(layers.Layer):
        def build(self, left_shape, right_shape):
            self.seen = left_shape, right_shape

        def call(self, left, right):
            return jnp.concatenate([left, right], -1)

        def compute_output_shape(self, left_shape, right_shape):
            return (*left_shape[:-1], left_shape[-1] + right_shape[-1])

    pair = Pair()
    assert pair(Input((3,)), right=Input((4,))).shape == (None, 7)
    assert pair.seen == ((None, 3), (None, 4))


def test_own_specs_and_keras_positional_shapes():
    class Own(layers.Layer):
        def call(self, inputs):
            return inputs

        def compute_output_spec(self, inputs):
            return plait.KerasTensor((None, 99), "int8")

    assert (Own()(Input((3,))).shape, Own()(Input((3,))).dtype) == ((None, 99), "int8")
    assert layers.Dense(3).compute_output_shape((2, 5)) == (2, 3)
    assert layers.Concatenate().compute_output_shape([(None, 2), (None, 3)]) == (None, 5)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: x @ jnp.ones((4, 2)), "Traced 'traced.*cannot be applied"),
        (lambda x: x if x.sum() > 0 else -x, r"uses the value of a tensor in Python"),
        (lambda x: np.sin(x), r"uses the value of a tensor in Python"),
        (lambda x: jnp.ones(int(x[0, 0])), r"plait\.ops\.where"),
    ],
)
def test_errors(call, text):
    for given in (Input((3,)), np.ones((2, 3), "float32")):
        with pytest.raises(plait.PlaitError, match=text):
            layer(call)(given)


def test_sizes_that_stand_for_unknown_ones_are_not_shown():
    with pytest.raises(plait.ShapeError) as raised:
        layer(lambda x: x @ jnp.ones((7, 3)))(Input((None,)))
    message = str(raised.value)
    assert "got (None,) and (7,)" in message
    assert "Fix: give the sizes that are None in Input(shape=...)" in message
    with pytest.raises(
        plait.ShapeError, match=r"reshape .* \(None, 8, 4\) into shape \(None, 9, -1\)\n"
    ):
        layer(lambda x: x.reshape(x.shape[0], x.shape[1] // 2 * 2 + 1, -1).mean())(Input((8, 4)))


def test_an_error_of_a_call_names_the_line_within_it():
    class Product(layers.Layer):
        def call(self, x):
            return x @ jnp.ones((7, 3))

    for given in (Input((5,)), np.ones((2, 5), "float32")):
        with pytest.raises(plait.ShapeError, match=r"raised at +test_infer.py:\d+ +return x @ jnp"):
            Product()(given)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: jnp.sum(x), "plait.ops.sum"),
        (lambda x: jnp.concatenate([x, x], axis=-1), "plait.ops.concatenate"),
        (lambda x: jax.nn.relu(x), "plait.ops.relu"),
        (lambda x: jax.lax.erf_inv(x), "the functions of plait.ops"),
    ],
)
def test_a_function_of_jax_on_a_symbolic_tensor_names_that_of_plait(call, name):
    with pytest.raises(
        plait.GraphError, match=rf"Input 'seen' .* is symbolic[^\n]*\nFix: use {name},"
    ):
        call(Input((3,), name="seen"))


def test_an_array_of_jax_and_a_symbolic_tensor_are_added_by_the_graph():
    for result in (jnp.ones(3) + Input((3,)), jnp.ones((2, 3)) @ Input((4,), batch_size=3)):
        assert isinstance(result, plait.SymbolicTensor)
