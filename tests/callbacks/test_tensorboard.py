"""What TensorBoard is given: event files, read back record by record."""

import pathlib
import struct
import sys

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef

import plait
from plait import callbacks, layers
from plait.errors import ConfigError

X = np.random.default_rng(0).integers(0, 5, size=(20, 3))
Y = X.sum(-1, keepdims=True).astype("float32")


@pytest.fixture(scope="module")
def model():
    inputs = plait.Input((3,), dtype="int32", name="words")
    words = layers.Embedding(5, 2, name="embed")(inputs)
    flat = layers.Flatten(name="flat")(words)
    joined = layers.Add(name="add")([layers.Dense(4, name="left")(flat), layers.Dense(4)(flat)])
    model = plait.Model(inputs, layers.Dense(1, name="out")(joined))
    model.compile(plait.optimizers.SGD(0.01), "mse", metrics=["mae"])
    return model


def fit(model, board, epochs=2):
    data = {"x": X, "y": Y, "validation_data": (X, Y)}
    return model.fit(**data, batch_size=5, epochs=epochs, verbose=0, callbacks=[board])


def events(folder):
    found = []
    for file in pathlib.Path(folder).glob("events.out.tfevents.*"):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack("<Q", data[place : place + 8])
            found.append(Event.FromString(data[place + 12 : place + 12 + length]))
            place += length + 16
    # Files of the same second are named in no order.
    return sorted(found, key=lambda event: event.wall_time)


def values(folder, kind="simple_value"):
    """Return tag -> step -> value of a kind."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField(kind):
                found.setdefault(value.tag, {})[event.step] = getattr(value, kind)
    return found


def test_logs_of_epochs(model, tmp_path):
    history = fit(model, callbacks.TensorBoard(tmp_path, write_steps_per_second=True)).history
    train, validation = values(tmp_path / "train"), values(tmp_path / "validation")
    assert set(train) == {
        "epoch_loss", "epoch_mae", "epoch_learning_rate", "epoch_steps_per_second",
    }  # fmt: skip
    assert set(validation) == {
        "epoch_loss", "epoch_mae",
        "evaluation_loss_vs_iterations", "evaluation_mae_vs_iterations",
    }  # fmt: skip
    for name, run in (("loss", train), ("mae", train), ("val_loss", validation)):
        given = run[f"epoch_{name.removeprefix('val_')}"]
        assert list(given) == [0, 1]
        np.testing.assert_allclose(list(given.values()), history[name], rtol=1e-5, atol=1e-6)
    assert train["epoch_learning_rate"][0] == pytest.approx(0.01)
    steps = list(validation["evaluation_loss_vs_iterations"])
    assert steps[1] == steps[0] + 4


@pytest.mark.parametrize(
    ("freq", "steps"), [("batch", [1, 2, 3, 4, 5, 6, 7, 8]), (3, [3, 6]), ("epoch", [])]
)
def test_logs_of_batches(model, tmp_path, freq, steps):
    seen = []
    look = callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(logs["loss"]))
    board = callbacks.TensorBoard(tmp_path, update_freq=freq)
    model.fit(X, Y, 5, epochs=2, verbose=0, callbacks=[board, look])
    found = values(tmp_path / "train").get("batch_loss", {})
    assert list(found) == steps
    np.testing.assert_allclose(
        list(found.values()), [seen[step - 1] for step in steps], rtol=1e-5, atol=1e-6
    )


def test_weights(model, tmp_path):
    fit(model, callbacks.TensorBoard(tmp_path, histogram_freq=2, write_images=True), epochs=3)
    histograms = values(tmp_path / "train", "histo")
    assert {"embed/embeddings/histogram", "left/kernel/histogram", "out/bias/histogram"} <= set(
        histograms
    )
    assert list(histograms["left/kernel/histogram"]) == [0, 2]
    kernel, last = model.get_layer("left").kernel.numpy(), histograms["left/kernel/histogram"][2]
    assert last.num == kernel.size
    assert last.min == pytest.approx(kernel.min())
    assert last.sum == pytest.approx(kernel.sum(), rel=1e-4)
    image = values(tmp_path / "train", "image")["left/kernel/image"][0]
    assert (image.height, image.width) == (4, 6)


def test_the_graph(model, tmp_path):
    fit(model, callbacks.TensorBoard(tmp_path), epochs=1)
    [graph] = [GraphDef.FromString(e.graph_def) for e in events(tmp_path / "train") if e.graph_def]
    nodes = {node.name: node for node in graph.node}
    assert nodes["embed"].op == "Embedding"
    assert list(nodes["embed"].input) == ["words"]
    assert nodes["add"].input[0] == "left"
    [shape] = nodes["embed"].attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [-1, 3, 2]
    fit(model, callbacks.TensorBoard(tmp_path / "none", write_graph=False), epochs=1)
    assert not [event for event in events(tmp_path / "none" / "train") if event.graph_def]


def test_embeddings(model, tmp_path):
    labels = tmp_path / "labels.tsv"
    labels.write_text("a\nb\nc\nd\ne\n")
    board = callbacks.TensorBoard(
        tmp_path, embeddings_freq=1, embeddings_metadata={"embed": str(labels)}
    )
    fit(model, board, epochs=1)
    folder = tmp_path / "train"
    assert "embed" in (folder / "projector_config.pbtxt").read_text()
    [matrix] = folder.rglob("tensors.tsv")
    np.testing.assert_allclose(
        np.loadtxt(matrix), model.get_layer("embed").embeddings.numpy(), rtol=1e-5
    )
    [written] = folder.rglob("metadata.tsv")
    assert written.read_text().split() == ["a", "b", "c", "d", "e"]
    board = callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"left": "x"})
    with pytest.raises(ConfigError, match="names 'left'; the embeddings are 'embed'"):
        fit(model, board, epochs=1)
    labels.write_text("a\nb\n")
    board = callbacks.TensorBoard(
        tmp_path / "short", embeddings_freq=1, embeddings_metadata=str(labels)
    )
    with pytest.raises(ConfigError, match=r"labels\.tsv' has 2 labels; 'embed' has 5 rows"):
        fit(model, board, epochs=1)


def test_a_profile(model, tmp_path):
    fit(model, callbacks.TensorBoard(tmp_path, profile_batch=(2, 3)), epochs=1)
    assert list((tmp_path / "train" / "plugins" / "profile").rglob("*.xplane.pb"))


def test_evaluation_alone(model, tmp_path):
    model.evaluate(X, Y, verbose=0, callbacks=[callbacks.TensorBoard(tmp_path)])
    assert set(values(tmp_path / "validation")) == {
        "evaluation_loss_vs_iterations", "evaluation_mae_vs_iterations",
    }  # fmt: skip


def test_a_run_that_goes_on_counts_batches_on(model, tmp_path):
    for epochs in (1, 2):
        board = callbacks.TensorBoard(tmp_path / "logs", update_freq=2)
        given = {"verbose": 0, "callbacks": [board], "resume": tmp_path / "run"}
        model.fit(X, Y, 5, epochs=epochs, **given)
    assert list(values(tmp_path / "logs" / "train")["batch_loss"]) == [2, 4, 6, 8]


def test_errors(monkeypatch):
    for wrong in ("steps", 0, 1.5):
        with pytest.raises(ConfigError, match="update_freq is 'epoch', 'batch' or a number"):
            callbacks.TensorBoard(update_freq=wrong)
    for wrong in ("a", -1, (3, 2), (1, 2, 3), None):
        with pytest.raises(ConfigError, match="profile_batch is a batch, or the first and the"):
            callbacks.TensorBoard(profile_batch=wrong)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ConfigError, match=r"Fix: pip install 'plait\[tensorboard\]'"):
        callbacks.TensorBoard()
