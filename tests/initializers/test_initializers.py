import keras
import numpy as np
import pytest
from scipy import stats

from plait import initializers
from plait.core.random import SeedGenerator, set_random_seed
from plait.core.variable import Variable

FANS = {"input_axes": [0, 2], "output_axes": [1]}
FAMILIES = [
    f"{family}{kind}" for family in ("Glorot", "He", "Lecun") for kind in ("Uniform", "Normal")
]
DRAWN = [
    ("RandomNormal", {"mean": 1.0, "stddev": 2.0}, (90, 100)),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 2.0}, (90, 100)),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}, (90, 100)),
    ("VarianceScaling", {}, (9000,)),
    ("VarianceScaling", {"mode": "fan_out", "distribution": "uniform"}, (3, 3, 10, 100)),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "normal"}, (10, 9, 100)),
    ("VarianceScaling", {"distribution": "untruncated_normal", **FANS}, (30, 10, 30)),
    *[(name, {}, (3, 30, 100)) for name in FAMILIES],
    *[(name, FANS, (30, 10, 30)) for name in FAMILIES],
]
PUBLIC = sorted(name for name in dir(keras.initializers) if not name.startswith("_"))


@pytest.mark.parametrize(("name", "config", "shape"), DRAWN)
def test_draws_are_distributed_as_in_keras(name, config, shape):
    ours = getattr(initializers, name)(seed=1, **config)(shape)
    theirs = np.asarray(getattr(keras.initializers, name)(seed=2, **config)(shape))
    assert ours.shape == shape
    assert ours.dtype == np.float32
    assert stats.ks_2samp(ours.ravel(), theirs.ravel()).pvalue > 0.001
    assert ours.std() == pytest.approx(theirs.std(), rel=0.04)
    assert abs(ours).max() == pytest.approx(abs(theirs).max(), rel=0.2)


def test_truncated_normal_is_cut_at_two_standard_deviations():
    values = initializers.TruncatedNormal(stddev=1.0, seed=0)((100_000,))
    assert 1.99 < abs(values).max() <= 2.0
    assert values.std() == pytest.approx(0.8796, rel=0.01)


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("Zeros", {}, (2, 3)),
        ("Ones", {}, ()),
        ("Constant", {"value": 0.1}, (2, 3)),
        ("Constant", {"value": [1.0, 2.0, 3.0]}, (2, 3)),
        ("Identity", {"gain": 0.3}, (3, 5)),
        ("STFT", {}, (64, 1, 33)),
        ("STFT", {"side": "imag", "window": "hamming", "scaling": "spectrum"}, (50, 1, 65)),
        ("STFT", {"window": None}, (8, 1, 5)),
        ("STFT", {"window": [1.0, 2.0, 1.0], "scaling": None}, (3, 1, 3)),
        ("STFT", {"side": "imag", "periodic": True}, (512, 1, 257)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_fixed_values_equal_those_of_keras(name, config, shape, dtype):
    ours = getattr(initializers, name)(**config)(shape, dtype=dtype)
    theirs = np.asarray(getattr(keras.initializers, name)(**config)(shape, dtype="float32"))
    assert ours.dtype == dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-3
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (3, 3, 2, 4), (2, 2, 20)])
@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_orthogonal(shape, gain):
    matrix = initializers.Orthogonal(gain, seed=3)(shape).reshape(-1, shape[-1])
    rows, columns = matrix.shape
    product = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-6)


def test_orthogonal_is_uniform():
    draw = initializers.Orthogonal(seed=SeedGenerator(0))
    corners = np.array([draw((3, 3))[0, 0] for _ in range(2000)])
    assert stats.kstest(corners, stats.uniform(-1, 2).cdf).pvalue > 0.001


@pytest.mark.parametrize(
    "name", ["zeros", "constant", "identity", "uniform", "orthogonal", "normal"]
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_dtypes(name, dtype):
    values = initializers.get(name)((4, 4), dtype=dtype)
    assert isinstance(values, np.ndarray)
    assert values.dtype.name == dtype
    assert np.isfinite(values.astype("float32")).all()


@pytest.mark.parametrize(
    "name", ["random_normal", "he_uniform", "truncated_normal", "lecun_normal"]
)
def test_scalars_and_empty_arrays(name):
    draw = initializers.get(name)
    assert isinstance(draw(()), np.ndarray)
    assert draw([0, 3]).shape == (0, 3)
    assert Variable(draw, shape=(2, 3), dtype="bfloat16").value.dtype == "bfloat16"


@pytest.mark.parametrize("name", ["RandomNormal", "RandomUniform", "GlorotUniform", "Orthogonal"])
def test_seeds(name):
    cls = getattr(initializers, name)

    def draws(seed):
        draw = cls(seed=seed)
        return draw((4, 4)), draw((4, 4))

    first, second = draws(7)
    np.testing.assert_array_equal(first, second)
    for seed in (None, SeedGenerator(7)):
        first, second = draws(seed)
        assert (first != second).any()
    np.testing.assert_array_equal(draws(SeedGenerator(7)), draws(SeedGenerator(7)))
    set_random_seed(3)
    before = draws(None)
    set_random_seed(3)
    np.testing.assert_array_equal(before, draws(None))


def test_public_names_are_those_of_keras():
    assert sorted(initializers.__all__) == PUBLIC


@pytest.mark.parametrize(
    "name", sorted(set(PUBLIC) - {"Initializer", "get", "serialize", "deserialize"})
)
def test_get_finds_every_public_name(name):
    found = getattr(initializers, name)
    assert type(initializers.get(name)) is found
    assert found.__name__ == getattr(keras.initializers, name).__name__


def test_get_takes_classes_functions_objects_and_arrays():
    def ramp(shape, dtype=None):
        return np.arange(shape[0])

    ones = initializers.Ones()
    assert initializers.get(None) is None
    assert initializers.get(ramp) is ramp
    assert initializers.get(ones) is ones
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert initializers.get(np.array([1.0, 2.0]))((2,)).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("HeNormal", {"seed": 3, "input_axes": [0], "output_axes": [1]}),
        ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}),
        ("Orthogonal", {"gain": 2.0}),
        ("Constant", {"value": 4.0}),
        ("STFT", {"side": "imag", "window": None}),
        ("Zeros", {}),
    ],
)
def test_configurations_pass_to_keras_and_back(name, config):
    ours = getattr(initializers, name)(**config)
    theirs = keras.initializers.deserialize(initializers.serialize(ours))
    assert theirs.get_config() == ours.get_config()
    back = initializers.deserialize(keras.initializers.serialize(theirs))
    assert type(back) is type(ours)
    assert back.get_config() == ours.get_config()
    assert (
        initializers.get({"class_name": name, "config": config}).get_config() == back.get_config()
    )
    assert ours.clone().get_config() == ours.get_config()


def test_configurations_may_use_snake_case_and_custom_objects():
    class Half(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.full(shape, 0.5, dtype)

    assert isinstance(
        initializers.get({"class_name": "glorot_uniform", "config": {}}),
        initializers.GlorotUniform,
    )
    assert isinstance(initializers.deserialize("Half", {"Half": Half}), Half)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: initializers.get("glorot_unifrom"), ValueError, "Did you mean 'glorot_uniform'"),
        (lambda: initializers.get(3.0), TypeError, "not float"),
        (lambda: initializers.Constant([1.0, 2.0])((3,)), ValueError, r"shape \(2,\).*\(3,\)"),
        (lambda: initializers.Identity()((3,)), ValueError, r"matrices.*\(3,\)"),
        (lambda: initializers.Orthogonal()((3,)), ValueError, "rank 2 or more"),
        (lambda: initializers.RandomNormal(seed="a"), ValueError, "int, a SeedGenerator or None"),
        (lambda: initializers.RandomNormal()((3,), "int32"), ValueError, "floats.*int32"),
        (lambda: initializers.VarianceScaling(scale=0.0), ValueError, "positive scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "no mode 'fan'"),
        (lambda: initializers.VarianceScaling(distribution="x"), ValueError, "no distribution 'x'"),
        (lambda: initializers.STFT(side="left"), ValueError, "no side 'left'"),
        (lambda: initializers.STFT(window="round"), ValueError, "no window 'round'"),
        (lambda: initializers.STFT(scaling="x"), ValueError, "no scaling 'x'"),
        (lambda: initializers.STFT()((3, 3)), ValueError, r"\(frame, 1, bins\)"),
        (lambda: initializers.STFT(window=[1.0])((3, 1, 3)), ValueError, "frames of 3 values"),
        (lambda: initializers.HeNormal(scale=1.0), TypeError, "unexpected keyword"),
        (lambda: initializers.Initializer()((2,)), NotImplementedError, "__call__"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
