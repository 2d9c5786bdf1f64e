"""Weights of PyTorch's modules: their formulas, written in NumPy, give what the layers give."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import plait
from plait import layers

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(size=shape).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def load(layer, arrays, shape, folder, **options):
    """Return a model of one layer, named "m", with the arrays of a module of that name."""
    model = plait.Sequential([plait.Input(shape), layer])
    save_file(
        {f"m.{k}": np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "t.safetensors"
    )
    report = model.load_weights(folder / "t.safetensors", layout="torch", verbose=False, **options)
    assert report.complete
    return model


def test_linear(tmp_path):
    w, b, x = draw(3, 4), draw(3), draw(2, 4)
    model = load(layers.Dense(3, name="m"), {"weight": w, "bias": b}, (4,), tmp_path)
    np.testing.assert_allclose(model(x), x @ w.T + b, rtol=1e-5, atol=1e-6)


def correlate(x, w, groups=1):
    """Return PyTorch's convolution, channels first, without padding."""
    sizes = w.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, sizes, axis=range(2, x.ndim))
    axes = tuple(range(1, 1 + len(sizes)))
    parts = []
    for xs, ws in zip(np.split(windows, groups, 1), np.split(w, groups), strict=True):
        n = x.ndim
        parts.append(
            np.tensordot(xs, ws, ([1, *range(n, n + len(sizes))], [1, *(a + 1 for a in axes)]))
        )
    return np.moveaxis(np.concatenate(parts, -1), -1, 1)


def last(x):
    return np.moveaxis(x, 1, -1)


@pytest.mark.parametrize(("n", "groups"), [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_convolutions(n, groups, tmp_path):
    w, b, x = draw(6, 4 // groups, *(3, 2, 2)[:n]), draw(6), draw(2, 4, *(6, 5, 4)[:n])
    cls = getattr(layers, f"Conv{n}D")
    layer = cls(6, (3, 2, 2)[:n], groups=groups, name="m")
    model = load(layer, {"weight": w, "bias": b}, last(x).shape[1:], tmp_path)
    expected = last(correlate(x, w, groups)) + b
    np.testing.assert_allclose(model(last(x)), expected, rtol=1e-4, atol=1e-5)


def test_depthwise_convolutions(tmp_path):
    w, x = draw(8, 1, 3, 2), draw(2, 4, 6, 5)
    layer = layers.DepthwiseConv2D((3, 2), depth_multiplier=2, use_bias=False, name="m")
    model = load(layer, {"weight": w}, (6, 5, 4), tmp_path)
    np.testing.assert_allclose(model(last(x)), last(correlate(x, w, 4)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2])
def test_transposed_convolutions(n, tmp_path):
    w, x = draw(4, 3, *(3, 2)[:n]), draw(2, 4, *(4, 3)[:n])
    stride = 2
    expected = np.zeros(
        (2, 3, *(stride * (s - 1) + k for s, k in zip(x.shape[2:], w.shape[2:], strict=True)))
    )
    for place in np.ndindex(*x.shape[2:]):
        spread = np.tensordot(x[(slice(None), slice(None), *place)], w, (1, 0))
        where = tuple(
            slice(stride * p, stride * p + k) for p, k in zip(place, w.shape[2:], strict=True)
        )
        expected[(slice(None), slice(None), *where)] += spread
    cls = getattr(layers, f"Conv{n}DTranspose")
    layer = cls(3, (3, 2)[:n], strides=stride, use_bias=False, name="m")
    model = load(layer, {"weight": w}, last(x).shape[1:], tmp_path)
    np.testing.assert_allclose(model(last(x)), last(expected), rtol=1e-4, atol=1e-5)


def test_normalizations_and_embedding(tmp_path):
    g, b, m, v, x = draw(4), draw(4), draw(4), np.abs(draw(4)) + 0.5, draw(3, 4)
    arrays = {"weight": g, "bias": b, "running_mean": m, "running_var": v,
              "num_batches_tracked": np.array(7)}  # fmt: skip
    model = load(layers.BatchNormalization(epsilon=1e-5, name="m"), arrays, (4,), tmp_path)
    expected = (x - m) / np.sqrt(v + 1e-5) * g + b
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)
    layer = layers.LayerNormalization(epsilon=1e-5, name="m")
    model = load(layer, {"weight": g, "bias": b}, (4,), tmp_path)
    centered = x - x.mean(-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * g + b
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)
    table = draw(9, 3)
    model = load(layers.Embedding(9, 3, name="m"), {"weight": table}, (2,), tmp_path)
    np.testing.assert_array_equal(model(np.array([[1, 8]])), table[[[1, 8]]])


def recurrent(kind, gates, size=3, width=4, suffix="_l0"):
    shapes = {"weight_ih": (gates * size, width), "weight_hh": (gates * size, size),
              "bias_ih": (gates * size,), "bias_hh": (gates * size,)}  # fmt: skip
    return {f"{name}{suffix}": draw(*shape) for name, shape in shapes.items()}


def run(kind, p, x, suffix="_l0"):
    """Return the last hidden state by the formulas in PyTorch's documentation."""
    w_i, w_h, b_i, b_h = (
        p[f"{n}{suffix}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = np.zeros((len(x), w_h.shape[1]))
    for t in range(x.shape[1]):
        a, r = x[:, t] @ w_i.T + b_i, h @ w_h.T + b_h
        if kind == "LSTM":
            i, f, g, o = np.split(a + r, 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif kind == "GRU":
            (ar, az, an), (rr, rz, rn) = np.split(a, 3, 1), np.split(r, 3, 1)
            z = sigmoid(az + rz)
            h = (1 - z) * np.tanh(an + sigmoid(ar + rr) * rn) + z * h
        else:
            h = np.tanh(a + r)
    return h


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
def test_recurrent_layers(kind, gates, tmp_path):
    p, x = recurrent(kind, gates), draw(2, 5, 4)
    model = load(getattr(layers, kind)(3, name="m"), p, (5, 4), tmp_path)
    np.testing.assert_allclose(model(x), run(kind, p, x), rtol=1e-4, atol=1e-5)


def test_both_directions(tmp_path):
    p, x = recurrent("LSTM", 4), draw(2, 5, 4)
    p |= recurrent("LSTM", 4, suffix="_l0_reverse")
    model = load(layers.Bidirectional(layers.LSTM(3), name="m"), p, (5, 4), tmp_path)
    backward = run("LSTM", p, x[:, ::-1], "_l0_reverse")
    expected = np.concatenate([run("LSTM", p, x), backward], 1)
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_attention(tmp_path):
    p = {"in_proj_weight": draw(12, 4), "in_proj_bias": draw(12),
         "out_proj.weight": draw(4, 4), "out_proj.bias": draw(4)}  # fmt: skip
    x = plait.Input((5, 4))
    model = plait.Model(x, layers.MultiHeadAttention(2, 2, name="m")(x, x))
    save_file({f"m.{key}": value for key, value in p.items()}, tmp_path / "t.safetensors")
    assert model.load_weights(tmp_path / "t.safetensors", layout="torch", verbose=False).complete
    data = draw(3, 5, 4)
    q, k, v = np.split(data @ p["in_proj_weight"].T + p["in_proj_bias"], 3, -1)
    q, k, v = (np.moveaxis(part.reshape(3, 5, 2, 2), 2, 1) for part in (q, k, v))
    scores = np.exp(q @ np.swapaxes(k, 2, 3) / np.sqrt(2))
    mixed = np.moveaxis(scores / scores.sum(-1, keepdims=True) @ v, 1, 2).reshape(3, 5, 4)
    expected = mixed @ p["out_proj.weight"].T + p["out_proj.bias"]
    np.testing.assert_allclose(model(data), expected, rtol=1e-4, atol=1e-5)


def test_names_and_what_does_not_fit(tmp_path):
    model = plait.Sequential([plait.Input((4,)), layers.Dense(3, name="head")])
    path = tmp_path / "t.safetensors"
    save_file({"net.0.weight": draw(3, 4), "net.0.bias": draw(3)}, path)
    with pytest.raises(plait.FileError, match="does not fit") as caught:
        model.load_weights(path, layout="torch")
    assert "unused" in str(caught.value)
    model.load_weights(path, layout="torch", rename={"net.0": "head"}, verbose=False)
    gru = plait.Sequential([plait.Input((5, 4)), layers.GRU(3, reset_after=False, name="m")])
    save_file({f"m.{k}": v for k, v in recurrent("GRU", 3).items()}, path)
    with pytest.raises(plait.FileError, match="resets before the product"):
        gru.load_weights(path, layout="torch")
