"""The models that tests of drawings draw."""

import plait
from plait import Input, Model, layers

HOSTILE = "a<b>&amp;\"'</script><img src=x onerror=document.title='broken'>\\N日本é;]}{"


def siamese():
    tower = plait.Sequential([Input((4,)), layers.Dense(3, "relu"), layers.Dense(2)], name="tower")
    left, right = Input((4,), name="left"), Input((4,), name="right")
    both = layers.Subtract(name="minus")([tower(left), tower(right)])
    return Model([left, right], layers.Dense(1, name="same")(both), name="siamese")


def repeated():
    x = Input((4,), name="x")
    dense = layers.Dense(4, name="again")
    return Model(x, dense(layers.ReLU(name="relu")(dense(x))), name="repeated")


def nested():
    x = Input((4,), name="x")
    block = Model(x, layers.Add(name="sum")([layers.Dense(4, name="dense")(x), x]), name="block")
    y = Input((4,), name="y")
    encoder = Model(y, [block(y), layers.ReLU(name="relu")(y)], name="encoder")
    z = Input((4,), name="z")
    return Model(z, encoder(z), name="outer")


def hostile():
    name = HOSTILE.replace("/", "")
    x = Input((4,), name="x" + name)
    return Model(x, layers.Dense(2, name="y" + name)(x), name="m" + name)


def chain(length):
    x = y = Input((4,), name="x")
    for _ in range(length // 2):
        y = layers.Add()([layers.Dense(4)(y), y])
    return Model(x, y, name="chain")


def changed():
    """Return a model, and a copy with one change of each kind."""
    x = Input((4,), name="x")
    tower = plait.Sequential(
        [Input((4,)), layers.Dense(4, name="inside"), layers.Dense(4, name="last")], name="tower"
    )
    gone = layers.ReLU(name="gone")(tower(x))
    before = Model(x, layers.Add(name="join")([gone, x]), name="model")
    after = before.copy()
    with after.edit(rebuild="downstream") as edit:
        edit.replace("tower/inside", layers.Dense(3))
        edit.replace("tower/last", layers.EinsumDense("ab,bc->ac", output_shape=4, name="last"))
        edit.rewire("join", [edit.insert_after("tower", layers.Dropout(0.1, name="new")), "x"])
    return before, after
