"""What cannot be exported, what is no exported file, and converters of one's own."""

from contextlib import suppress

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plait
from plait import layers, ops
from plait.saving import load_exported, onnx_converter


class Sine(layers.Layer):
    def call(self, inputs):
        return jnp.sin(inputs)


class Gated(layers.Dense):
    """A subclass that computes something else than its base."""

    def call(self, inputs):
        return jnp.tanh(super().call(inputs))


class Renamed(layers.Dense):
    """A subclass that only adds arguments."""

    def __init__(self, units, note=None, **kwargs):
        super().__init__(units, **kwargs)
        self.note = note


def model_of(layer, shape=(4,)):
    x = plait.Input(shape, name="x")
    return plait.Model(x, layer(x))


REFUSED = {
    "a layer of one's own": (Sine(name="wave"), "there is no converter for Sine, and its call()"),
    "a changed layer": (Gated(3, name="wave"), "there is no converter for Gated"),
    "a function of JAX": (
        layers.Lambda(lambda x: jnp.sin(x), name="wave"),
        "its function is not made of plait.ops alone",
    ),
    "an activation": (
        layers.Dense(2, activation=jnp.sin, name="wave"),
        "ONNX has nothing for its activation 'sin'",
    ),
    "a layer within": (
        plait.Sequential([plait.Input((4,)), Sine(name="wave")]),
        "there is no converter for Sine",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_onnx_refuses_by_name_line_and_reason_and_writes_nothing(case, tmp_path):
    layer, why = REFUSED[case]
    model = model_of(layer)
    (tmp_path / "m.onnx").write_bytes(b"old")
    with pytest.raises(plait.ExportError) as caught:
        model.export(tmp_path / "m.onnx")
    message = str(caught.value)
    assert "'wave' (test_export_refusals.py:" in message
    assert f"cannot be exported to ONNX: {why}" in message
    assert "\nFix: " in message
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_bytes() == b"old"


def test_an_operation_that_onnx_lacks_is_refused(tmp_path):
    x = plait.Input((4, 4))
    model = plait.Model(x, ops.inv(x))
    with pytest.raises(plait.ExportError, match=r"ops\.inv 'inv.*no converter for ops\.inv"):
        model.export(tmp_path / "m.onnx")


@pytest.mark.parametrize("by_position", [False, True])
def test_a_call_that_trains_is_refused(by_position, tmp_path):
    x = plait.Input((4,))
    drop = layers.Dropout(0.5)
    y = drop(x, True) if by_position else drop(x, training=True)
    with pytest.raises(plait.ExportError, match="called with training=True"):
        plait.Model(x, y).export(tmp_path / "m.onnx")


def test_weights_that_no_file_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.saving.export.LARGEST", 1000)
    with pytest.raises(plait.ExportError, match=r"GB of weights.*\nFix: export it in parts"):
        model_of(layers.Dense(100)).export(tmp_path / "m.onnx")


def test_states_are_refused(tmp_path):
    x = plait.Input(batch_shape=(2, 5, 3))
    model = plait.Model(x, layers.LSTM(3, stateful=True)(x))
    for ending in ("onnx", "stablehlo"):
        with pytest.raises(plait.ExportError, match="keeps no state"):
            model.export(tmp_path / f"m.{ending}")


def test_sizes_that_are_needed_and_not_known_are_refused(tmp_path):
    x = plait.Input((None, 5, 2))
    model = plait.Model(x, layers.UpSampling2D(2, interpolation="bilinear")(x))
    with pytest.raises(plait.ExportError, match="size is not known"):
        model.export(tmp_path / "m.onnx")
    x = plait.Input((None, 8, 2))
    model = plait.Model(x, layers.Cropping2D(2)(x))
    with pytest.raises(plait.ExportError, match=r"StableHLO.*\nFix: give the sizes"):
        model.export(tmp_path / "m.stablehlo")


def test_a_model_without_a_graph_says_how_to_give_it_one(tmp_path):
    class Net(plait.Model):
        def __init__(self):
            super().__init__(name="net")
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(ops.relu(inputs))

    net = Net()
    with pytest.raises(plait.ExportError, match=r"no graph.*\nFix: x = plait\.Input") as caught:
        net.export(tmp_path / "m.onnx")
    assert "plait.Model(x, net(x)).export('m.onnx')" in str(caught.value)
    x = plait.Input((3,), name="x")
    model = plait.Model(x, net(x))
    data = np.ones((2, 3), "float32")
    for ending in ("onnx", "stablehlo"):
        loaded = load_exported(model.export(tmp_path / f"m.{ending}"))
        np.testing.assert_allclose(loaded(data), net(data), rtol=1e-5, atol=1e-6)


def test_formats(tmp_path):
    model = model_of(layers.Dense(1))
    assert load_exported(model.export(tmp_path / "m.ONNX")).outputs[0].shape == (None, 1)
    model.export(tmp_path / "m.bin", format="onnx")
    assert onnx.load(tmp_path / "m.bin").producer_name == "plait"
    with pytest.raises(plait.ConfigError, match=r"no export to 'tf_saved_model'.*\nFix: .*onnx"):
        model.export(tmp_path / "m", format="tf_saved_model")
    with pytest.raises(plait.ConfigError, match=r"cannot tell a format from the name 'm\.pb'"):
        model.export(tmp_path / "m.pb")
    with pytest.raises(plait.ConfigError, match="Did you mean 'stablehlo'"):
        model.export(tmp_path / "m", format="stablehl")
    with pytest.raises(plait.FileError, match="no folder"):
        model.export(tmp_path / "nowhere" / "m.onnx")


def test_a_converter_of_ones_own(tmp_path):
    class Cube(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")

        def call(self, inputs):
            return jnp.power(inputs, 3) * self.scale.value

    @onnx_converter(Cube)
    def convert_cube(layer, inputs):
        return inputs * inputs * inputs * layer.scale

    model = model_of(Cube())
    data = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    loaded = load_exported(model.export(tmp_path / "m.onnx"))
    np.testing.assert_allclose(loaded(data), model(data), rtol=1e-5, atol=1e-6)


class Padded(layers.Layer):
    """Looks up a table, and masks 9s by a compute_mask of its own."""

    def __init__(self, opaque=False, **kwargs):
        super().__init__(**kwargs)
        self.table = layers.Embedding(10, 3)
        self.opaque = opaque

    def call(self, inputs):
        return self.table(inputs)

    def compute_mask(self, inputs, previous_mask=None):
        if self.opaque:
            return jnp.not_equal(inputs, 9)
        return ops.not_equal(inputs, 9)


def test_masks_of_ones_own_are_exported_or_refused(tmp_path):
    x = plait.Input((5,), dtype="int32", name="x")
    model = plait.Model(x, layers.LSTM(3)(Padded()(x)))
    data = np.array([[1, 2, 9, 9, 9], [1, 9, 3, 4, 9]])
    loaded = load_exported(model.export(tmp_path / "m.onnx"))
    np.testing.assert_allclose(loaded(data), model(data), rtol=1e-5, atol=1e-6)
    model = plait.Model(x, layers.LSTM(3)(Padded(opaque=True)(x)))
    with pytest.raises(plait.ExportError, match=r"its compute_mask\(\) is not made of plait\.ops"):
        model.export(tmp_path / "m.onnx")


def test_a_converter_that_fails_names_the_layer(tmp_path):
    class Broken(layers.Layer):
        def call(self, inputs):
            return jnp.sin(inputs)

    @onnx_converter(Broken)
    def convert_broken(layer, inputs):
        return inputs.no_such_thing

    with pytest.raises(plait.ExportError, match=r"Broken 'broken' \(.*its converter failed"):
        model_of(Broken(name="broken")).export(tmp_path / "m.onnx")


def test_a_converter_that_returns_something_else_is_refused(tmp_path):
    class Wrong(layers.Layer):
        def call(self, inputs):
            return jnp.sin(inputs)

    @onnx_converter(Wrong)
    def convert_wrong(layer, inputs):
        return inputs.transpose([0, 2, 1])

    with pytest.raises(plait.ExportError, match="its converter returns"):
        model_of(Wrong(), (4, 5)).export(tmp_path / "m.onnx")


def test_a_subclass_that_computes_the_same_keeps_the_converter(tmp_path):
    model = model_of(Renamed(3, note="mine", activation="relu"))
    data = np.ones((2, 4), "float32")
    loaded = load_exported(model.export(tmp_path / "m.onnx"))
    np.testing.assert_allclose(loaded(data), model(data), rtol=1e-5, atol=1e-6)


def test_random_numbers_in_inference_are_refused(tmp_path):
    class Noisy(layers.Layer):
        def call(self, inputs):
            return ops.add(inputs, plait.random.normal((4,)))

    with pytest.raises(plait.ExportError, match="random"):
        model_of(Noisy()).export(tmp_path / "m.onnx")


# -- the reader -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    x, y = plait.Input((3,), name="x"), plait.Input((2,), name="y")
    joined = layers.Concatenate()([layers.LSTM(2)(layers.Reshape((3, 1))(x)), y])
    model = plait.Model([x, y], layers.Dense(2, name="z")(joined))
    return {ending: model.export(folder / f"m.{ending}") for ending in ("onnx", "stablehlo")}


@pytest.mark.parametrize("ending", ["onnx", "stablehlo"])
def test_inputs_are_given_in_order_or_by_name_and_checked(files, ending):
    loaded = load_exported(files[ending])
    x, y = np.ones((2, 3)), np.zeros((2, 2), "int64")
    results = [loaded(x, y), loaded([x, y]), loaded({"y": y, "x": x}), loaded(y=y, x=x)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    assert results[0].dtype == "float32"
    with pytest.raises(plait.DataError, match="needs 'y' as well"):
        loaded(x)
    with pytest.raises(plait.DataError, match=r"no input 'yy'.*Did you mean 'y'"):
        loaded(x, yy=y)
    with pytest.raises(plait.DataError, match="takes 2 inputs"):
        loaded(x, y, y)
    with pytest.raises(plait.DataError, match=r"input 'x' is \(None, 3\) float32; received"):
        loaded(np.ones((2, 4)), y)
    with pytest.raises(plait.DataError, match=r"x\[None\]"):
        loaded(x[0], y)
    assert "m." in repr(loaded)


def test_one_input_is_given_as_an_array_a_list_of_it_or_written_out(tmp_path):
    loaded = load_exported(model_of(layers.Rescaling(2.0)).export(tmp_path / "m.stablehlo"))
    for value in (np.ones((1, 4)), [np.ones((1, 4))], [[1, 1, 1, 1]], {"x": np.ones((1, 4))}):
        assert loaded(value).tolist() == [[2.0, 2.0, 2.0, 2.0]]


@pytest.mark.parametrize("ending", ["onnx", "stablehlo"])
def test_a_file_that_is_none_or_damaged_is_one_clear_error(files, ending, tmp_path):
    whole = files[ending].read_bytes()
    wrong = {
        "empty": b"",
        "text": b"no model at all",
        "first half": whole[: len(whole) // 2],
        "last half": whole[len(whole) // 2 :],
        "longer": whole + whole,
    }
    for name, contents in wrong.items():
        path = tmp_path / f"{name}.{ending}"
        path.write_bytes(contents)
        with pytest.raises(plait.FileError, match=name):
            load_exported(path)
    with pytest.raises(plait.FileError, match="cannot read"):
        load_exported(tmp_path / f"missing.{ending}")
    with pytest.raises(plait.FileError, match="no exported model"):
        load_exported(tmp_path / "m.keras")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), ending=st.sampled_from(["onnx", "stablehlo"]))
def test_changed_bytes_give_a_file_error_or_a_model(files, tmp_path, data, ending):
    contents = bytearray(files[ending].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"changed.{ending}"
    path.write_bytes(contents)
    with suppress(plait.FileError):
        load_exported(path)


def test_an_onnx_file_that_names_other_files_is_refused(files, tmp_path):
    proto = onnx.load(files["onnx"])
    tensor = proto.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location="/etc/passwd")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    path = tmp_path / "outside.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(plait.FileError, match="weights in other files"):
        load_exported(path)


def test_a_stablehlo_file_that_calls_back_into_python_is_refused(tmp_path):
    class Back(layers.Layer):
        def call(self, inputs):
            like = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
            return jax.pure_callback(lambda x: x, like, inputs)

    x = plait.Input(batch_shape=(2, 3))
    with pytest.raises(plait.ExportError, match="cannot be exported to StableHLO"):
        plait.Model(x, Back()(x)).export(tmp_path / "m.stablehlo")
