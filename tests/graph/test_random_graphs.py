"""Random graphs of shared and merging layers, held against a plain NumPy evaluation."""

import copy

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plait import Input, Model, layers

WIDTH = 3


@st.composite
def plans(draw):
    """Draw inputs, calls ``(kind, which layer, which tensors)`` and outputs."""
    inputs = draw(st.integers(1, 3))
    calls, count = [], inputs
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["dense", "add", "join"]))
        many = 1 if kind == "dense" else draw(st.integers(2, 3))
        sources = draw(st.lists(st.integers(0, count - 1), min_size=many, max_size=many))
        calls.append((kind, draw(st.integers(0, 2)), sources))
        count += 1
    outputs = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3))
    return inputs, calls, outputs


def build(plan):
    """Return the model of a plan; a Dense behind each join brings it back to one width."""
    number, calls, outputs = plan
    tensors = [Input((WIDTH,), name=f"in{i}") for i in range(number)]
    inputs = list(tensors)
    dense = {i: layers.Dense(WIDTH, "tanh", name=f"dense{i}") for i in range(3)}
    for index, (kind, which, sources) in enumerate(calls):
        chosen = [tensors[source] for source in sources]
        if kind == "dense":
            tensors.append(dense[which](chosen[0]))
        elif kind == "add":
            tensors.append(layers.Add(name=f"add{index}")(chosen))
        else:
            joined = layers.Concatenate(name=f"join{index}")(chosen)
            tensors.append(layers.Dense(WIDTH, "tanh", name=f"narrow{index}")(joined))
    return Model(inputs, [tensors[output] for output in outputs], name="m")


def evaluate(plan, state, values):
    """Compute the same with NumPy."""

    def dense(name, x):
        return np.tanh(x @ state[f"{name}/kernel"] + state[f"{name}/bias"])

    _, calls, outputs = plan
    live = needed(plan)
    tensors = list(values)
    for index, (kind, which, sources) in enumerate(calls):
        if len(tensors) not in live:
            tensors.append(None)
            continue
        chosen = [tensors[source] for source in sources]
        if kind == "dense":
            tensors.append(dense(f"dense{which}", chosen[0]))
        elif kind == "add":
            tensors.append(sum(chosen))
        else:
            tensors.append(dense(f"narrow{index}", np.concatenate(chosen, -1)))
    return [tensors[output] for output in outputs]


def needed(plan):
    """Return which tensors the outputs depend on."""
    number, calls, outputs = plan
    live = set(outputs)
    for index in reversed(range(len(calls))):
        if number + index in live:
            live.update(calls[index][2])
    return live


@settings(max_examples=15, deadline=None, derandomize=True)
@given(plans())
def test_random_graphs_compute_what_they_say(plan):
    model = build(plan)
    values = [
        np.random.default_rng(i).normal(size=(2, WIDTH)).astype("float32") for i in range(plan[0])
    ]
    state = {path: np.asarray(value) for path, value in model.state().items()}
    results = model(values)
    for one, other in zip(results, evaluate(plan, state, values), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(plans())
def test_random_graphs_are_in_order_and_copy(plan):
    graph = build(plan).graph
    seen = set(graph.inputs)
    for node in graph.nodes:
        assert set(node.inputs) <= seen
        seen.update(node.outputs)
    assert set(graph.outputs) <= seen
    assert len(set(graph.names.values())) == len(graph.nodes)
    number, calls, _ = plan
    live = {i for i in needed(plan) if i >= number}
    made = sum(2 if calls[i - number][0] == "join" else 1 for i in live)
    assert len([node for node in graph.nodes if not node.is_input]) == made
    for node in graph.nodes:
        for other in graph.successors(node):
            assert node in graph.predecessors(other)
    twin = copy.deepcopy(graph)
    assert str(twin) == str(graph)
    assert not set(twin.layers) & set(graph.layers)
