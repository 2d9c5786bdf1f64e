"""Operations in graphs: operators, indexing, constants, configurations and errors."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import plait
from plait import ops
from plait.errors import ArgumentTypeError, ConfigError, PlaitError, ShapeError
from plait.graph.tensor import SymbolicTensor
from plait.ops.operation import FUNCTIONS, Op

X = np.linspace(-2, 2, 12, dtype="float32").reshape(4, 3)
Y = np.linspace(1, 3, 12, dtype="float32").reshape(4, 3)[::-1].copy()
PLACES = np.array([0, 2], "int32")
SQUARE = np.eye(3, dtype="float32") + 0.1

EXPRESSIONS = {
    "arithmetic": lambda x: (1 - x) * 2 + x / 4 - x,
    "floor and mod": lambda x: x // 2 + x % 2 + 7 // (x + 3) + 7 % (x + 3),
    "power": lambda x: x**2 + 2**x,
    "matmul": lambda x: x @ SQUARE,
    "signs": lambda x: -x + abs(x),
    "compare": lambda x: (x > 0) & (x <= 1) | (x == 0) ^ (x != 2),
    "compare reflected": lambda x: ~(x < Y) & (x >= -1),
    "array on the left": lambda x: Y * x + Y - x,
    "jax array on the left": lambda x: jnp.asarray(Y[0]) * x,
    "list": lambda x: ops.add(x, [1.0, 2.0, 3.0]),
    "keyword tensors": lambda x: ops.where(condition=x > 0, x1=x, x2=0.0),
    "constant first": lambda x: ops.concatenate([Y, x], axis=-1),
    "variable": lambda x: ops.multiply(plait.Variable(Y[0]), x),
    "nested": lambda x: ops.stack([x, Y, x + 1], axis=1),
    "einsum": lambda x: ops.einsum("bi,ij->bj", x, SQUARE),
    "NumPy sizes": lambda x: ops.reshape(x, (-1, np.prod([3, 1]), np.int64(1))),
    "unknown size": lambda x: ops.reshape(x, (ops.shape(x)[0], 3, 1)) if x.shape else x,
    "attributes": lambda x: x.T.reshape((3, -1)),
    "column": lambda x: x[:, 1],
    "last row": lambda x: x[-1],
    "new axis": lambda x: x[..., None, 1:3],
    "steps": lambda x: x[:, ::-2],
    "list index": lambda x: x[:, [0, 2]],
    "array index": lambda x: x[:, PLACES],
    "mask": lambda x: x[:, np.array([True, False, True])],
    "tensor index": lambda x: x[:, ops.cast(ops.argmax(x[0]), "int32")],
    "map": lambda x: ops.map(lambda row: row * 2, x),
    "scan": lambda x: ops.scan(lambda total, row: (total + row, total), X[0], x),
    "while_loop": lambda x: ops.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (0, x)),
    "fori_loop": lambda x: ops.fori_loop(0, 3, lambda i, v: v + i, x),
    "cond": lambda x: ops.cond(ops.sum(x) > 1, lambda: 1.0, lambda: 2.0),
    "switch": lambda x: ops.switch(1, [lambda v: v, lambda v: -v], x),
    "vectorized_map": lambda x: ops.vectorized_map(ops.sum, x),
    "associative_scan": lambda x: ops.associative_scan(ops.add, x),
    "top_k": lambda x: ops.top_k(x, 2),
    "moments": lambda x: ops.moments(x, axes=[1]),
    "sparsemax": lambda x: ops.sparsemax(x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_graphs_compute_what_arrays_give(name):
    expression = EXPRESSIONS[name]
    inputs = plait.Input((3,))
    outputs = expression(inputs)
    model = plait.Model(inputs, outputs)
    actual = jax.tree.leaves(model(X))
    for got, wanted, spec in zip(
        actual, jax.tree.leaves(expression(jnp.asarray(X))), model.outputs, strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        assert got.dtype == spec.dtype
        assert all(known in (None, size) for known, size in zip(spec.shape, got.shape, strict=True))


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (ops.add, [(None, None, 3), (None, 7, 1)], (None, 7, 3)),
        (ops.matmul, [(None, None, 64), (None, 64, None)], (None, None, None)),
        (lambda *x: ops.concatenate(x, -1), [(None, None, 4), (None, 9, 2)], (None, 9, 6)),
        (lambda x: ops.unstack(x, num=2), [(None, 3)], (3,)),
        (lambda x: ops.conv(x, np.ones((3, 3, 3, 4)), 2), [(None,) * 3 + (3,)], (None,) * 3 + (4,)),
        (lambda x: ops.image.resize(x, (5, 6)), [(None, None, None, 3)], (None, 5, 6, 3)),
    ],
)
def test_unknown_sizes(function, shapes, expected):
    output = function(*map(SymbolicTensor, shapes))
    assert (output[0] if isinstance(output, list) else output).shape == expected


def test_any_input_will_do():
    variable = plait.Variable(X)
    for given in (X, X.tolist(), variable, jnp.asarray(X)):
        np.testing.assert_allclose(ops.softmax(given), keras.ops.softmax(X), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            jax.jit(lambda x: ops.softmax(x))(X), ops.softmax(given), rtol=1e-5
        )
    assert ops.stack([variable, X.tolist()]).shape == (2, 4, 3)
    assert ops.fori_loop(0, 2, lambda i, v: v + 1, variable).shape == (4, 3)
    assert ops.power(np.int32(2), 3) == 8
    assert ops.add(1, 2).dtype == "int32"


def test_what_is_known_without_computing():
    x = SymbolicTensor((None, 3), "int32")
    assert (ops.shape(x), ops.ndim(x), ops.size(x), ops.dtype(x)) == ((None, 3), 2, None, "int32")
    assert (ops.shape([[1, 2]]), ops.ndim(X), ops.size(X), ops.dtype(X)) == (
        (1, 2),
        2,
        12,
        "float32",
    )
    assert ops.convert_to_tensor(x) is x
    assert ops.convert_to_tensor(x, "float16").dtype == "float16"
    assert ops.convert_to_tensor([1, 2], float).dtype == "float32"
    assert ops.is_tensor(jnp.ones(2))
    assert not ops.is_tensor(X)
    copied = ops.convert_to_numpy(plait.Variable(X))
    assert isinstance(copied, np.ndarray)
    assert copied.flags.writeable


def test_functions_of_functions():
    double = ops.custom_gradient(lambda x: (x * 2, lambda upstream: upstream * 7))
    assert jax.grad(double)(3.0) == 7
    assert ops.jvp(jnp.sin, (0.0,), (2.0,))[1] == 2
    assert ops.vectorize(lambda a, b: a + b)(X, 1).shape == (4, 3)
    assert ops.while_loop(lambda i: i < 9, lambda i: i + 1, 0, maximum_iterations=4) == 4


def test_sparsemax_lies_on_the_simplex():
    # Keras 3.15 does not: keras-team/keras#23425
    np.testing.assert_allclose(np.sum(ops.sparsemax(X), -1), 1, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ops.sparsemax([[0.0, 0.5, 1.0]]), [[0.0, 0.25, 0.75]])


def test_stft_and_istft_are_inverse():
    signal = np.sin(np.arange(64, dtype="float32"))
    for window in ("hann", "hamming", None):
        spectra = ops.stft(signal, 16, 4, 16, window=window)
        back = ops.istft(spectra, 16, 4, 16, length=64, window=window)
        np.testing.assert_allclose(back, signal, atol=1e-5)


def test_an_operation_is_a_layer_with_a_configuration():
    x = plait.Input((3,))
    layer = ops.image.resize(plait.Input((4, 4, 1)), (2, 2)).node.layer
    assert layer.name.startswith("resize")
    assert Op.from_config(layer.get_config()).function == "image.resize"
    node = x[:, 1:, None].node
    config = plait.core.registry.serialize(list(node.args[1:]))
    assert plait.core.registry.deserialize(config) == [(slice(None), slice(1, None), None)]
    with pytest.raises(ConfigError, match=r"no function 'sofmax'\. Did you mean"):
        Op("sofmax")
    with pytest.raises(AttributeError, match="Did you mean 'softmax'"):
        ops.sofmax
    assert "matmul" in dir(ops)
    assert FUNCTIONS["matmul"]


A, B = SymbolicTensor((None, 3)), SymbolicTensor((None, 4))
HERE = r"\(test_symbolic\.py:\d+\)"
ERRORS = [
    (
        lambda: A + B,
        ShapeError,
        rf"ops\.add 'add\w*' {HERE} cannot combine \(None, 3\) and",
    ),
    (lambda: ops.matmul(A, B), ShapeError, rf"ops\.matmul 'matmul\w*' {HERE} .*\n.*\(None, 3\)"),
    (lambda: ops.matmul(X, Y), ShapeError, rf"ops\.matmul {HERE} .*\n.*\(4, 3\)"),
    (
        lambda: ops.sum(A, axes=1),
        ArgumentTypeError,
        r"mean 'axis'\?\n.*ops.sum\(x, axis",
    ),
    (
        lambda: ops.sum(X, axes=1),
        ArgumentTypeError,
        rf"ops\.sum {HERE}: .* 'axis'",
    ),
    (lambda: ops.split(SymbolicTensor((None, 6)), 4, axis=1), ShapeError, r"ops\.split .*equal"),
    (lambda: ops.unstack(A), ShapeError, r"cannot tell how many tensors axis 0 .*\n.*\n.*num="),
    (lambda: ops.nonzero(A), PlaitError, r"ops\.nonzero"),
    (lambda: A[:, : SymbolicTensor((), "int32")], ArgumentTypeError, "cannot slice up to a tensor"),
    (lambda: ops.concatenate([A, SymbolicTensor((None, 3, 1))]), PlaitError, r"ops\.concatenate"),
    (lambda: bool(A > 0), ArgumentTypeError, "true or false.*\n.*ops.where"),
    (lambda: list(A), ArgumentTypeError, "iterate over"),
    (lambda: float(A[0, 0]), ArgumentTypeError, "cannot be a number"),
    (lambda: np.sum(A), ArgumentTypeError, "cannot be a NumPy array"),
    (lambda: ops.convert_to_numpy(A), ArgumentTypeError, "cannot be a NumPy array"),
    (lambda: ops.one_hot(A, 3, sparse=True), ConfigError, "no sparse=True"),
    (lambda: ops.scatter_update(X, [[0, 0]], [1.0], reduction="mean"), ConfigError, "'mean'"),
    (lambda: ops.rearrange(X, "a b -> (a c)"), ConfigError, r"ops\.rearrange .*other axes"),
    (lambda: ops.fft(X), ArgumentTypeError, r"ops\.fft .*pair of tensors"),
    (lambda: ops.image.crop_images(X), ShapeError, r"ops\.image\.crop_images .*expects an image"),
    (lambda: ops.cholesky(-SQUARE), ConfigError, "not positive definite"),
    (lambda: ops.pad(X, 1, "reflect", 2.0), ConfigError, "constant_values"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text[:30] for *_, text in ERRORS])
def test_errors_say_what_where_and_how(call, error, text):
    with pytest.raises(error, match=text):
        call()
