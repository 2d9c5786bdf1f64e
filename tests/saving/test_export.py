"""Exported files, in real runtimes, against the model itself."""

import export_cases
import jax
import numpy as np
import onnx
import pytest

import plait
from plait.core.calling import apply

CASES = {**export_cases.LAYERS, **{f"ops.{k}": v for k, v in export_cases.OPERATIONS.items()}}
NOT_IN_STABLEHLO = {"Cropping2D"}  # whether an open size is large enough cannot be told
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def values_of(model, data):
    """Return the outputs by name, compiled once and quickly."""
    pure = jax.jit(lambda x: apply(model, {}, (x,), {}, False, None)[0])
    outputs = pure.lower(data).compile(compiler_options=QUICK)(data)
    return {name: np.asarray(outputs[name]) for name in model.output_names}


def assert_equal(got, wanted, name=""):
    """Compare to 1e-5 of the largest entry; what is infinite or no number must be so in both."""
    assert got.shape == wanted.shape, name
    assert got.dtype == wanted.dtype, name
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        return
    finite = wanted[np.isfinite(wanted)]
    scale = np.abs(finite).max() if finite.size else 1.0
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * scale, err_msg=name)


def by_name(result, model):
    return result if isinstance(result, dict) else {model.output_names[0]: result}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A model with every case, its outputs for three samples, and the files it was exported to."""
    model, names = export_cases.build(CASES)
    export_cases.randomize(model)
    data = export_cases.data(3)
    folder = tmp_path_factory.mktemp("exported")
    model.export(folder / "all.onnx")
    return model, names, data, values_of(model, data), folder


def test_every_layer_and_operation_in_onnx(everything):
    model, _, data, wanted, folder = everything
    got = plait.saving.load_exported(folder / "all.onnx")(data)
    for name in model.output_names:
        assert_equal(got[name], wanted[name], name)


def test_every_layer_and_operation_in_onnx_for_another_batch(everything):
    model, _, data, wanted, folder = everything
    loaded = plait.saving.load_exported(folder / "all.onnx")
    got = loaded({name: array[:1] for name, array in data.items()})
    # Not sample by sample:
    mixed = ["argmax of all", "broadcast_to", "flipud", "outer", "ravel", "vstack"]
    whole = {f"ops.{label}/0" for label in mixed}
    for name in sorted(set(model.output_names) - whole):
        rows = wanted[name]
        part = rows[: len(rows) // 3]
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        scale = max(np.abs(finite.astype(float)).max(), 1e-6) if finite.size else 1.0
        np.testing.assert_allclose(got[name], part, rtol=0, atol=2e-5 * scale, err_msg=name)


def test_the_file_is_valid_onnx(everything):
    *_, folder = everything
    proto = onnx.load(folder / "all.onnx")
    onnx.checker.check_model(proto)
    assert proto.producer_name == "plait"
    assert proto.producer_version == plait.__version__


def test_every_layer_in_stablehlo(everything, tmp_path):
    model, names, data, wanted, _ = everything
    labels = [label for label in export_cases.LAYERS if label not in NOT_IN_STABLEHLO]
    kept = [name for label in labels for name in names[label]]
    part = plait.Model(model.input, {name: model.output[name] for name in kept})
    path = part.export(tmp_path / "all.stablehlo")
    loaded = plait.saving.load_exported(path)
    assert [spec.name for spec in loaded.inputs] == model.input_names
    assert [spec.name for spec in loaded.outputs] == kept
    module = jax.export.deserialize(bytearray(path.read_bytes()))  # as anybody can
    arrays = [data[name] for name in model.input_names]
    got = jax.jit(module.call).lower(*arrays).compile(compiler_options=QUICK)(*arrays)
    for name, array in zip(kept, got, strict=True):
        assert_equal(np.asarray(array), wanted[name], name)
