import keras
import numpy as np
import pytest
from check_layer import check_layer, check_signature

from plait import layers
from plait.errors import ArgumentTypeError, ConfigError, ShapeError
from plait.graph.tensor import SymbolicTensor

RNG = np.random.default_rng(0)


def data(*shapes, dtype="float32"):
    return [(5 * RNG.normal(size=shape)).astype(dtype) for shape in shapes]


def symbols(*shapes):
    return [SymbolicTensor(shape) for shape in shapes]


NAMES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]
FUNCTIONS = [layers.add, layers.subtract, layers.multiply, layers.average, layers.maximum,
             layers.minimum]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3), (2, 3)],
        [(2, 4, 3), (2, 1, 3)],
        [(2, 4, 5, 3), (2, 3)],
        [(2, 3), (2, 4, 1)],
        [(2,), (2, 3)],
    ],
)
def test_pairs(name, shapes):
    check_layer(getattr(layers, name), getattr(keras.layers, name), data(*shapes))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Subtract"])
def test_several(name):
    check_layer(getattr(layers, name), getattr(keras.layers, name), data((2, 3), (2, 1), (2, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers(name):
    check_layer(
        getattr(layers, name), getattr(keras.layers, name), data((2, 3), (2, 3), dtype="int32")
    )


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [(-1, [(2, 3), (2, 4), (2, 1)]), (1, [(2, 3, 4), (2, 5, 4)]), (2, [(2, 3, 4), (2, 3, 1)])],
)
def test_concatenate(axis, shapes):
    check_layer(
        lambda: layers.Concatenate(axis), lambda: keras.layers.Concatenate(axis), data(*shapes)
    )


@pytest.mark.parametrize(
    ("axes", "normalize", "shapes"),
    [
        (1, False, [(2, 3), (2, 3)]),
        (-1, True, [(2, 3), (2, 3)]),
        (1, False, [(2, 3), (2, 3, 4)]),
        ((2, 1), False, [(2, 5, 3), (2, 3, 4)]),
        ((1, 2), True, [(2, 3, 5), (2, 4, 3)]),
        ((-1, 1), False, [(2, 5, 6, 3), (2, 3, 4, 7)]),
        ((2, 1), False, [(2, 5, 3), (2, 3)]),
    ],
)
def test_dot(axes, normalize, shapes):
    check_layer(
        lambda: layers.Dot(axes, normalize),
        lambda: keras.layers.Dot(axes, normalize),
        data(*shapes),
    )


@pytest.mark.parametrize(("name", "function"), list(zip(NAMES, FUNCTIONS, strict=True)))
def test_functions(name, function):
    a, b = symbols((None, 3), (None, 3))
    merged = function([a, b], name="joined")
    assert type(merged.node.layer).__name__ == name
    assert merged.node.layer.name == "joined"


def test_concatenate_and_dot_as_functions():
    a, b = symbols((None, 3, 4), (None, 3, 4))
    assert layers.concatenate([a, b], axis=1).shape == (None, 6, 4)
    assert layers.dot([a, b], axes=-1).shape == (None, 3, 3)
    assert layers.dot([a, b], 2, normalize=True).shape == (None, 3, 3)


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (layers.Add(), [(None, None, 3), (None, 5, 3)], (None, 5, 3)),
        (layers.Add(), [(None, None, 3), (None, 1, 3)], (None, None, 3)),
        (layers.Add(), [(None, 3), (8, 3)], (8, 3)),
        (layers.Concatenate(1), [(None, None, 3), (None, 5, 3)], (None, None, 3)),
        (layers.Concatenate(), [(None, None, 3), (None, 5, 3)], (None, 5, 6)),
        (layers.Dot(1), [(None, None, 3), (None, 5, 4)], (None, 3, 4)),
    ],
)
def test_unknown_sizes(layer, shapes, expected):
    assert layer(symbols(*shapes)).shape == expected


MASKS = [np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool), np.array([[1, 0, 1, 0], [1, 0, 1, 0]], bool)]


@pytest.mark.parametrize("name", [*NAMES, "Concatenate"])
@pytest.mark.parametrize("present", [(0, 1), (0,), (1,)], ids=str)
def test_masks(name, present):
    inputs = data((2, 4, 3), (2, 4, 3))
    masks = [mask if i in present else None for i, mask in enumerate(MASKS)]
    tensors = [keras.ops.convert_to_tensor(x) for x in inputs]
    for tensor, mask in zip(tensors, masks, strict=True):
        if mask is not None:
            keras.src.backend.set_keras_mask(tensor, keras.ops.convert_to_tensor(mask))
    expected = getattr(keras.layers, name)()(tensors)
    layer = getattr(layers, name)()
    takes_mask = {} if name == "Concatenate" else {"mask": masks}
    np.testing.assert_allclose(layer(inputs, **takes_mask), expected, rtol=1e-5, atol=1e-6)
    ours, theirs = layer.compute_mask(inputs, masks), keras.src.backend.get_keras_mask(expected)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        np.testing.assert_array_equal(ours, theirs)


def test_concatenate_masks_along_the_steps():
    inputs = data((2, 4, 3), (2, 4, 3))
    mask = layers.Concatenate(1).compute_mask(inputs, [MASKS[0], None])
    np.testing.assert_array_equal(mask, np.concatenate([MASKS[0], np.ones((2, 4), bool)], 1))


def test_two_thousand_inputs():
    inputs = symbols(*[(None, 4)] * 2000)
    assert layers.Add()(inputs).shape == (None, 4)
    assert layers.Concatenate()(inputs).shape == (None, 8000)


def test_dot_takes_keras_arguments():
    check_signature(layers.Dot, keras.layers.Dot)


PROJECT = "project the shortcut first: shortcut = layers.Conv2D(64, 1)(shortcut)"


@pytest.mark.parametrize(
    ("layer", "shapes", "what", "fix"),
    [
        (
            layers.Add(name="add"),
            [(None, 32, 32, 64), (None, 32, 32, 3)],
            "cannot add (None, 32, 32, 64) and (None, 32, 32, 3).",
            PROJECT,
        ),
        (layers.Add(), [(None, 9, 9, 3), (None, 9, 9, 64)], "cannot add", PROJECT),
        (layers.Add(), [(None, 64), (None, 32)], "cannot add", "x = layers.Dense(64)(x)"),
        (layers.Multiply(), [(None, 5, 8), (None, 5, 16)], "cannot multiply", "layers.Dense(16)"),
        (
            layers.Add(),
            [(None, 32, 32, 64), (None, 16, 16, 128)],
            "cannot add",
            "shrink the larger one to (16, 16): shortcut = layers.Conv2D(128, 1, strides=2)",
        ),
        (
            layers.Maximum(),
            [(None, 32, 32, 8), (None, 30, 30, 8)],
            "take the max",
            "padding='same'",
        ),
        (
            layers.Subtract(),
            [(None, 10, 8), (None, 20, 8)],
            "cannot subtract",
            "Conv1D(8, 1, strid",
        ),
        (
            layers.Average(),
            [(None, 10, 8), (None, 10)],
            "cannot average (None, 10, 8) and (None, 10).",
            "x = layers.Reshape((10, 1))(x)",
        ),
        (
            layers.Add(),
            [(None, 4), (None, None), (None, 5)],
            "inputs[0] (None, 4) and inputs[2] (None, 5)",
            "Dense(5)",
        ),
        (layers.Add(), [(4, 3), (5, 3)], "their batches differ", "the same batch"),
        (
            layers.Concatenate(),
            [(None, 4, 8), (None, 5, 8)],
            "cannot concatenate (None, 4, 8) and (None, 5, 8) along axis 2: axis 1 is 4 and 5.",
            "layers.Concatenate(axis=1)",
        ),
        (
            layers.Concatenate(),
            [(None, 4, 8), (None, 4, 9), (None, 5, 8)],
            "inputs[0] (None, 4, 8) and inputs[2] (None, 5, 8) along axis 2: axis 1 is 4 and 5",
            "layers.Concatenate(axis=1)",
        ),
        (
            layers.Concatenate(),
            [(None, 32, 32, 8), (None, 30, 30, 4)],
            "axis 1 is 32 and 30",
            "bring axis 1 to the same size first",
        ),
        (layers.Concatenate(), [(None, 4), (None, 4, 8)], "they have 2 and 3 axes", "Flatten()"),
        (layers.Concatenate(3), [(None, 4), (None, 4)], "along axis 3", "Concatenate(axis=-1)"),
        (
            layers.Dot(1),
            [(None, 4), (None, 5)],
            "along axes 1 and 1: their sizes are 4 and 5",
            "name two axes of the same size",
        ),
        (layers.Dot(0), [(None, 4), (None, 4)], "cannot add up along axes (0, 0)", "after the ba"),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, what, fix):
    with pytest.raises(ShapeError) as caught:
        layer(symbols(*shapes))
    message = str(caught.value)
    head, *_, last = message.splitlines()
    assert f"{type(layer).__name__} '{layer.name}' (test_merging.py:" in head
    assert what in head
    assert f"  inputs[1]  {shapes[1]}" in message
    assert last.startswith("Fix: ")
    assert fix in last


def test_arrays_that_do_not_fit():
    add = layers.Add()
    with pytest.raises(ShapeError, match=r"Add 'add.*' .*cannot add \(2, 3\) and \(2, 4\)\."):
        add(data((2, 3), (2, 4)))
    assert add(data((2, 3), (2, 3))).shape == (2, 3)
    with pytest.raises(ShapeError, match=r"cannot add \(2, 5\) and \(2, 4\)\."):
        add(data((2, 5), (2, 4)))


@pytest.mark.parametrize("layer", [layers.Add(), layers.Concatenate(), layers.Dot(1)])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (SymbolicTensor((None, 3)), "received one tensor"),
        (np.zeros((2, 3), "float32"), "received one tensor"),
        ([SymbolicTensor((None, 3))], "received a list of 1"),
        ([], "received a list of 0"),
    ],
)
def test_no_list_of_tensors(layer, inputs, message):
    with pytest.raises(ArgumentTypeError, match=rf"takes a list of .* tensors, {message}\."):
        layer(inputs)


@pytest.mark.parametrize("layer", [layers.Subtract(), layers.Dot(1)])
def test_exactly_two(layer):
    with pytest.raises(ArgumentTypeError, match="takes a list of 2 tensors, received 3"):
        layer(symbols((None, 3), (None, 3), (None, 3)))


@pytest.mark.parametrize(
    ("axes", "error"), [("1", ArgumentTypeError), ((1, 2, 3), ConfigError), ((1, 1.5), ConfigError)]
)
def test_bad_axes(axes, error):
    with pytest.raises(error, match="Dot: axes must be a whole number or two of them"):
        layers.Dot(axes)
