"""Masks: made, passed on, merged, handed to those who ask, and missed when lost."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from plait import Input, Model, Sequential, layers

IDS = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
MASK = IDS != 0


class Seen(layers.Layer):
    """Returns the mask it was given as numbers, ones if none."""

    def call(self, inputs, mask=None):
        if mask is None:
            return jnp.ones(inputs.shape[:2])
        return jnp.asarray(mask, "float32")


class Required(Seen):
    def call(self, inputs, mask):
        return super().call(inputs, mask)


class PassesOn(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return inputs * 2


class Shortens(layers.Layer):
    def call(self, inputs):
        return inputs[:, :2]

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[:, :2]


class Forgets(layers.Layer):
    def call(self, inputs):
        return inputs + 1


def embedding():
    return layers.Embedding(5, 3, mask_zero=True)


@pytest.mark.parametrize("seen", [Seen, Required])
@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ([], MASK),
        ([PassesOn], MASK),
        ([layers.Dropout(0.1), layers.Activation("relu"), PassesOn], MASK),
        ([Shortens], MASK[:, :2]),
        ([lambda: Sequential([PassesOn(), Shortens()])], MASK[:, :2]),
        ([lambda: layers.Dense(4)], MASK),
    ],
)
def test_masks_travel(seen, between, expected):
    stack = [b if isinstance(b, layers.Layer) else b() for b in between]
    ids = Input((4,), dtype="int32")
    h = embedding()(ids)
    for item in stack:
        h = item(h)
    np.testing.assert_array_equal(Model(ids, seen()(h))(IDS), expected)
    # the same on arrays, one layer after the other
    h = embedding()(IDS)
    for item in stack:
        h = item.clone()(h) if not isinstance(item, Sequential) else item(h)
    np.testing.assert_array_equal(seen()(h), expected)


def test_an_explicit_mask_wins_also_by_position():
    other = np.array([[True, False, True, False]] * 2)
    x = embedding()(IDS)
    for result in (Seen()(x, mask=other), Seen()(x, other)):
        np.testing.assert_array_equal(result, other)
    np.testing.assert_array_equal(Seen()(x, None), MASK)
    np.testing.assert_array_equal(Seen()(np.ones((2, 4, 3), "float32")), np.ones((2, 4)))
    lstm, raw = layers.LSTM(2), np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_allclose(lstm(raw, mask=MASK)[1], lstm(raw[1:, :1])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(lstm(raw, mask=MASK), lstm(raw, None, MASK))


def test_lists_of_masks_and_named_masks():
    class Two(layers.Layer):
        def call(self, query, value, query_mask=None, value_mask=None):
            found = query_mask, value_mask
            return jnp.stack([jnp.ones(IDS.shape, bool) if m is None else m for m in found])

    ids, more = Input((4,), dtype="int32"), Input((4,), dtype="int32")
    e = embedding()
    model = Model([ids, more], Two()(e(ids), e(more)))
    other = IDS[::-1].copy()
    np.testing.assert_array_equal(model([IDS, other]), np.stack([MASK, MASK[::-1]]))
    merged = Model([ids, more], Seen()(layers.Add()([e(ids), e(more)])))
    np.testing.assert_array_equal(merged([IDS, other]), MASK | MASK[::-1])


def test_nested_models_take_and_return_masks():
    inner = Sequential([PassesOn(), PassesOn()])
    ids = Input((4,), dtype="int32")
    outer = Model(ids, inner(embedding()(ids)))
    np.testing.assert_array_equal(Seen()(outer(IDS)), MASK)
    again = Input((4,), dtype="int32")
    np.testing.assert_array_equal(Model(again, Seen()(outer(again)))(IDS), MASK)


def test_a_lost_mask_is_told_once_and_only_then():
    with pytest.warns(UserWarning, match=r"Forgets 'f' .*does not pass masks on"):
        Model(ids := Input((4,), dtype="int32"), Forgets(name="f")(embedding()(ids)))(IDS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.GlobalAveragePooling1D()(embedding()(IDS))
        Forgets()(np.ones((2, 4, 3), "float32"))


def test_arrays_hold_their_masks_only_while_they_live():
    import gc

    from plait.core import masks

    gc.collect()
    before = len(masks._attached)
    x = embedding()(IDS)
    assert len(masks._attached) == before + 1
    del x
    gc.collect()
    assert len(masks._attached) == before
