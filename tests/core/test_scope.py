"""value_and_grad in and out of scopes, and what a pure call hands back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import plait
from plait import Variable, layers, value_and_grad
from plait.core.scope import Scope, current_scope


def test_outside_every_scope():
    w, count = Variable([2.0, 3.0]), Variable(0.0, trainable=False)

    def loss():
        count.assign_add(1.0)
        return (w.value**2).sum()

    value, (gradient,) = value_and_grad(loss, [w])
    assert float(value) == 13
    np.testing.assert_allclose(gradient, [4, 6])
    assert float(count) == 1
    assert current_scope() is None


def test_auxiliary_results():
    w = Variable([2.0])
    (value, extra), gradients = value_and_grad(
        lambda: (w.value.sum() * 3, {"twice": w * 2}), [w], has_aux=True
    )
    assert (float(value), float(extra["twice"][0]), float(gradients[0][0])) == (6, 4, 3)


@pytest.mark.parametrize("jit", [False, True])
def test_inside_a_scope(jit):
    w, other, count = Variable([2.0]), Variable([5.0]), Variable(0.0, trainable=False)

    def step(values):
        with Scope(dict(zip((w, other, count), values, strict=True))) as scope:

            def loss():
                count.assign_add(1.0)
                scope_now = current_scope()
                scope_now.losses.append(w.value.sum())
                return (w * other.value).sum()

            value, gradients = value_and_grad(loss, [w])
            w.assign(w - 0.5 * gradients[0])
            again, _ = value_and_grad(loss, [w])
        return value, again, gradients, scope.changed[w], scope.changed[count], scope.losses

    value, again, gradients, changed, number, losses = (jax.jit(step) if jit else step)(
        [jnp.array([4.0]), jnp.array([10.0]), jnp.array(0.0)]
    )
    assert (float(value), float(gradients[0][0]), float(changed[0])) == (40, 10, -1)
    assert float(again) == -10
    assert float(number) == 2
    assert [float(item) for item in losses] == [4, -1]
    assert (float(w[0]), float(count)) == (2, 0)


def test_nested():
    w = Variable(3.0)

    def outer():
        _, (inner_gradient,) = value_and_grad(lambda: w.value**3, [w])
        return inner_gradient  # 3 w^2

    value, (second,) = value_and_grad(outer, [w])
    assert (float(value), float(second)) == (27, 18)


def test_layers_that_draw_and_remember():
    plait.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    norm, drop = layers.BatchNormalization(), layers.Dropout(0.5)
    norm.build((None, 3))
    before = norm.moving_mean.numpy()

    def loss():
        return (drop(norm(x, training=True), training=True) ** 2).sum()

    first, gradients = value_and_grad(loss, norm.trainable_variables)
    assert len(gradients) == 2
    assert not np.allclose(before, norm.moving_mean)
    assert float(first) != float(value_and_grad(loss, norm.trainable_variables)[0])


def test_masks_of_results_are_kept():
    embedding = layers.Embedding(5, 3, mask_zero=True)
    ids = np.array([[1, 2, 0]])
    embedding(ids)

    def run(values):
        with Scope({embedding.embeddings: values}) as scope:
            (_, found), _ = value_and_grad(
                lambda: ((y := embedding(jnp.asarray(ids))).sum(), y),
                embedding.trainable_variables,
                has_aux=True,
            )
            return scope.get_mask(found)

    assert jax.jit(run)(embedding.embeddings.value).tolist() == [[True, True, False]]


def test_a_failure_leaves_no_scope_open():
    with pytest.raises(ZeroDivisionError):
        value_and_grad(lambda: 1 / 0, [Variable(1.0)])
    assert current_scope() is None


def test_a_custom_train_step():
    class Doubling(plait.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1, kernel_regularizer="l2")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            loss, gradients = value_and_grad(
                lambda: self.compute_loss(x, y, self(x, training=True)), self.trainable_variables
            )
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss, "size": sum(jnp.sum(g**2) for g in gradients)}

    model = Doubling()
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    history = model.fit(x, x.sum(-1, keepdims=True), epochs=5, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"loss", "size"}
