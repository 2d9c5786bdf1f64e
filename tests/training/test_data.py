"""Whatever holds data trains as the plain arrays do."""

import h5py
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest

import plait
from plait import layers
from plait.training import data

given = dict  # arguments by name
rng = np.random.default_rng(0)
X = rng.normal(size=(10, 3)).astype("float32")
Y = (np.arange(10) % 2).astype("float32")[:, None]
W = rng.uniform(0.5, 2, 10).astype("float32")


@pytest.fixture(scope="module")
def model():
    model = plait.Sequential([plait.Input((3,), name="x"), layers.Dense(1, name="y")])
    model.compile(plait.optimizers.SGD(0.1), "mse")
    model.start = model.get_weights()
    return model


def trained(model, *args, **kwargs):
    """Return the weights after an epoch in batches of 4."""
    model.set_weights(model.start)
    model.fit(*args, verbose=0, shuffle=False, **kwargs)
    return model.get_weights()


@pytest.fixture(scope="module")
def expected(model):
    return trained(model, X, Y, batch_size=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = X, Y
    with h5py.File(path) as file:
        yield file


class TorchTensor:
    """The part of a torch tensor that leads to its numbers."""

    def __init__(self, array):
        self._array = array

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self._array


class Loader:
    """A torch DataLoader, as far as anybody can see."""

    def __init__(self, *arrays, wrap=TorchTensor):
        self.arrays, self.wrap = arrays, wrap

    def __len__(self):
        return 3

    def __iter__(self):
        for start in (0, 4, 8):
            yield [self.wrap(array[start : start + 4]) for array in self.arrays]


class Dataset(plait.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(index * 4, index * 4 + 4)
        return X[rows], Y[rows]


class Indexed:
    """A length and an index, and nothing else."""

    __len__, __getitem__ = Dataset.__len__, Dataset.__getitem__


def batches(*arrays):
    return [tuple(a[start : start + 4] for a in arrays) for start in (0, 4, 8)]


def memmap(array, path):
    mapped = np.memmap(path, array.dtype, "w+", shape=array.shape)
    mapped[:] = array
    return mapped


ARRAYS = {
    "jax": lambda: (jnp.asarray(X), jnp.asarray(Y)),
    "float64": lambda: (X.astype("float64"), Y.astype("float64")),
    "numbers written out": lambda: (X.tolist(), Y.tolist()),
    "rows in lists": lambda: ([list(row) for row in X], Y[:, 0].tolist()),
    "bool targets": lambda: (X, Y.astype(bool)),
    "uint8 targets": lambda: (X, Y.astype("uint8")),
    "int64 targets": lambda: (X, Y[:, 0].astype("int64")),
    "a list of one": lambda: ([X], [Y]),
    "a dict by name": lambda: ({"x": X}, {"y": Y}),
    "tensors": lambda: (TorchTensor(X), TorchTensor(Y)),
    "pandas": lambda: (pd.DataFrame(X, columns=list("abc")), pd.Series(Y[:, 0])),
    "polars": lambda: (pl.DataFrame(X, schema=list("abc")), pl.Series("label", Y[:, 0])),
    "a frame of targets": lambda: (X, pd.DataFrame({"y": Y[:, 0], "other": W})),
}
BATCHES = {
    "generator": lambda: (batch for batch in batches(X, Y)),
    "list": lambda: batches(X, Y),
    "loader": lambda: Loader(X, Y),
    "loader of arrays": lambda: Loader(X, Y, wrap=np.asarray),
    "PyDataset": Dataset,
    "indexed": Indexed,
    "dicts": lambda: iter([({"x": x}, {"y": y}) for x, y in batches(X, Y)]),
    "frames": lambda: iter([(pd.DataFrame(x), pd.Series(y[:, 0])) for x, y in batches(X, Y)]),
    "lists": lambda: iter([[[x], [y]] for x, y in batches(X, Y)]),
}  # fmt: skip


def same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(model, expected, kind):
    same(trained(model, *ARRAYS[kind](), batch_size=4), expected)


@pytest.mark.parametrize("kind", BATCHES)
def test_batches(model, expected, kind):
    same(trained(model, BATCHES[kind]()), expected)


def test_files(model, expected, file, tmp_path):
    same(trained(model, file["x"], file["y"], batch_size=4), expected)
    mapped = memmap(X, tmp_path / "x"), memmap(Y, tmp_path / "y")
    same(trained(model, *mapped, batch_size=4), expected)
    split = trained(model, file["x"], file["y"], batch_size=4, validation_split=0.2)
    same(split, trained(model, X[:8], Y[:8], batch_size=4))
    model.set_weights(model.start)
    model.fit(file["x"], file["y"], verbose=0)  # shuffled, which h5py takes in ascending order only


@pytest.mark.parametrize("rows", [[3, 0, 7], slice(2, 5)])
def test_rows_of_a_file(file, rows):
    rows = np.array(rows) if isinstance(rows, list) else rows
    np.testing.assert_array_equal(data.take(file["x"], rows), X[rows])


def test_sample_weights_come_with_batches_and_arrays(model):
    expected = trained(model, X, Y, batch_size=4, sample_weight=W)
    same(trained(model, batches(X, Y, W)), expected)
    same(trained(model, X, Y, batch_size=4, sample_weight=pd.Series(W)), expected)
    same(trained(model, X, Y, batch_size=4, sample_weight={"y": W}), expected)


def test_one_sample_and_a_batch_larger_than_the_data(model):
    expected = trained(model, X[:1], Y[:1], batch_size=1)
    same(trained(model, X[:1], Y[:1], batch_size=100), expected)
    assert model.predict(X[:1], verbose=0).shape == (1, 1)


def test_images_of_bytes():
    images = rng.integers(0, 256, (8, 4, 4)).astype("uint8")
    model = plait.Sequential(
        [plait.Input((4, 4, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    labels = np.arange(8) % 2
    history = model.fit(images, labels.astype("uint8"), verbose=0)
    assert np.isfinite(history.history["loss"][0])
    np.testing.assert_allclose(
        model.predict(images, verbose=0), model.predict(images[..., None] * 1.0, verbose=0)
    )


@pytest.fixture(scope="module")
def columns():
    inputs = [plait.Input((1,), name="age"), plait.Input((2,), name="size")]
    joined = layers.Concatenate()(inputs)
    outputs = [layers.Dense(1, name="cost")(joined), layers.Dense(1, name="risk")(joined)]
    model = plait.Model(inputs, outputs)
    model.compile(plait.optimizers.SGD(0.1), "mse")
    model.start = model.get_weights()
    return model


@pytest.mark.parametrize("room", [pd, pl])
def test_columns_of_a_frame_go_to_inputs_and_outputs_of_their_names(columns, room):
    sizes = [list(row) for row in X[:, :2]]
    frame = room.DataFrame({"size": sizes, "unused": ["text"] * 10, "age": X[:, 2].tolist()})
    targets = room.DataFrame({"risk": W.tolist(), "cost": Y[:, 0].tolist()})
    expected = trained(columns, [X[:, 2], X[:, :2]], [Y, W], batch_size=4)
    same(trained(columns, frame, targets, batch_size=4), expected)
    pair = room.DataFrame({"p": X[:, 0], "q": X[:, 1]})
    by_name = {"age": frame["age"], "size": pair}
    same(trained(columns, by_name, {"risk": targets["risk"], "cost": Y}, batch_size=4), expected)
    generated = ((frame[i : i + 4], targets[i : i + 4]) for i in (0, 4, 8))
    same(trained(columns, generated), expected)


def test_an_output_without_a_loss_needs_no_targets(columns):
    columns.compile(plait.optimizers.SGD(0.1), {"risk": "mse"})
    inputs = [X[:, 2], X[:, :2]]
    expected = trained(columns, inputs, {"risk": W}, batch_size=4)
    for targets in ([W], [Y, W], {"risk": W, "cost": Y}):
        same(trained(columns, inputs, targets, batch_size=4), expected)
    same(expected[:2], columns.start[:2])


def test_a_nested_structure_of_inputs():
    a, b, c = (plait.Input((1,), name=name) for name in "abc")
    joined = layers.Concatenate()([a, b, c])
    model = plait.Model({"first": a, "rest": [b, c]}, layers.Dense(1)(joined))
    model.compile("sgd", "mse")
    x = {"first": X[:, :1], "rest": [X[:, 1:2], X[:, 2:]]}
    assert np.isfinite(model.fit(x, Y, verbose=0).history["loss"][0])
    np.testing.assert_allclose(
        model.predict(x, verbose=0),
        model.predict({"rest": x["rest"], "first": x["first"]}, verbose=0),
    )


def epochs(source, count):
    return [[float(np.ravel(x)[0]) for x, _, _ in source.epoch()] for _ in range(count)]


NUMBERS = np.arange(6.0)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: given(x=NUMBERS, batch_size=2), [[0, 2, 4], [0, 2, 4]]),
        (lambda: given(x=NUMBERS, batch_size=2, steps=1), [[0], [2]]),
        (lambda: given(x=(NUMBERS[i : i + 2] for i in (0, 2, 4)), steps=1), [[0], [2]]),
    ],
)
def test_epochs_with_and_without_steps(make, expected):
    source = data.make_source(**make())
    assert epochs(source, 2) == expected


def test_an_epoch_ends_with_the_data():
    source = data.make_source(NUMBERS, batch_size=2, steps=2)
    with pytest.warns(UserWarning, match="ended after 1 of 2 steps"):
        assert epochs(source, 4) == [[0, 2], [4], [0, 2], [4]]
    source.restart()
    assert epochs(source, 1) == [[0, 2]]


def test_a_generator_goes_on_and_is_not_closed():
    generator = (NUMBERS[i : i + 1] for i in range(6))
    source = data.make_source(generator, steps=2)
    assert epochs(source, 1) == [[0, 1]]
    source.restart()
    assert epochs(source, 1) == [[2, 3]]
    del source
    assert next(generator)[0] == 4


def test_shuffling_draws_a_new_order_each_epoch_and_the_seed_decides_it():
    def orders(seed):
        plait.utils.set_random_seed(seed)
        source = data.make_source(np.arange(50.0), np.arange(50.0), batch_size=50, shuffle=True)
        return [next(source.epoch()) for _ in range(2)]

    (x, y, _), (other, _, _) = orders(1)
    assert sorted(x) == sorted(other) == list(range(50))
    assert list(x) != list(range(50))
    assert list(x) != list(other)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(x, orders(1)[0][0])


def test_a_dataset_hears_of_its_epochs(model):
    heard = []

    class Listening(Dataset):
        def on_epoch_begin(self):
            heard.append("begin")

        def on_epoch_end(self):
            heard.append("end")

    trained(model, Listening(), epochs=2)
    assert heard == ["begin", "end"] * 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X, (X, None, None)),
        ((X,), (X, None, None)),
        ((X, Y), (X, Y, None)),
        ([X, Y, W], (X, Y, W)),
        ({"x": X}, ({"x": X}, None, None)),
    ],
)
def test_unpack(given, expected):
    for a, b in zip(data.unpack(given), expected, strict=True):
        assert a is b or a == b
