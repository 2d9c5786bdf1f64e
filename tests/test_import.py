"""What ``import plait`` gives, and what it costs."""

import subprocess
import sys

import pytest

import plait


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_is_lazy():
    heavy = "[m for m in ('jax', 'numpy', 'rich', 'optax', 'h5py') if m in sys.modules]"
    assert run(f"import sys, plait; print({heavy})") == "[]"


def test_training_imports_no_more_than_it_needs():
    code = (
        "import sys, numpy as np, plait\n"
        "model = plait.Sequential([plait.Input((3,)), plait.layers.Dense(1)])\n"
        "model.compile('adam', 'mse')\n"
        "model.fit(np.ones((4, 3)), np.ones(4), verbose=0)\n"
        "model.predict(np.ones((1, 3)), verbose=0)\n"
        "unneeded = ('optax', 'h5py', 'rich', 'plait.saving', 'plait.ops', 'plait.view.picture')\n"
        "print([m for m in unneeded if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_keras_is_plait():
    assert plait.keras is plait
    assert run("import plait as tf; print(tf.keras.layers.Dense(3).units)") == "3"
    code = (
        "from plait.keras.layers import Dense\n"
        "from plait.keras import layers, models\n"
        "import plait.keras.optimizers as o\n"
        "import plait\n"
        "assert Dense is plait.layers.Dense is layers.Dense\n"
        "assert o is plait.optimizers and models.Model is plait.Model\n"
        "assert plait.layers.__spec__.name == 'plait.layers'\n"
        "print('same')"
    )
    assert run(code) == "same"


def test_unknown_name_suggests_another():
    with pytest.raises(AttributeError, match="Did you mean 'Sequential'"):
        getattr(plait, "Sequental")


@pytest.mark.parametrize(
    ("name", "instead"), [("GradientTape", "value_and_grad"), ("reduce_mean", "plait.ops.mean")]
)
def test_names_of_tensorflow_say_what_to_use(name, instead):
    with pytest.raises(AttributeError, match=instead):
        getattr(plait, name)


def test_every_public_name_resolves():
    for name in plait.__all__:
        assert getattr(plait, name) is not None
    assert set(plait.__all__) <= set(dir(plait))


def test_optax_takes_what_was_made_before_its_import():
    code = (
        "import jax.numpy as jnp, plait\n"
        "last = plait.optimizers.scale_by_learning_rate()\n"
        "import optax\n"
        "assert isinstance(last, optax.GradientTransformationExtraArgs)\n"
        "chain = optax.chain(optax.scale_by_sign(), last)\n"
        "params = {'w': jnp.ones(1)}\n"
        "state = chain.init(params)\n"
        "changes, _ = chain.update(params, state, params, learning_rate=0.5, step=1)\n"
        "print(changes['w'].tolist())"
    )
    assert run(code) == "[-0.5]"
