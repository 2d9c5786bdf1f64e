"""Every example runs; what it returns is finite and better than a guess."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

# The least that a short run reaches; None: too short to learn anything.
LEAST = {
    "sequential_mnist": {"accuracy": 0.8},
    "residual_block": {"accuracy": None},
    "two_inputs": {"accuracy": 0.6},
    "siamese": {"same_digit": 0.6, "nearest_neighbour_accuracy": 0.8},
    "resnet20": {"accuracy": None},
    "inception": {"accuracy": 0.3},
    "text_attention": {"accuracy": 0.6},
    "mixture_of_experts": {"accuracy_0.0": 0.4, "accuracy_0.05": 0.4},
    "multi_output": {"digit_accuracy": 0.6, "zero_recall": 0.8},
    "custom_loop": {"accuracy": 0.9},
    "gan": {"told_apart": 0.5},
    "edit_surgery": {"with gelu": 0.8, "even": 0.9, "undone": 1.0},
    "edit_parts": {
        "cut_agrees": 1.0,
        "zero_accuracy": 0.8,
        "merge_agrees": 1.0,
        "copy_is_apart": 1.0,
    },
    "edit_compare": {"accuracy": 0.8, "source_agrees": 1.0, "halves_agree": 1.0},
}


def run(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.main(short=True)


def test_all_examples_are_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(LEAST)


@pytest.mark.parametrize("name", LEAST)
def test_example(name, capsys):
    results = run(name)
    assert all(np.isfinite(value) for value in results.values()), results
    for metric, least in LEAST[name].items():
        assert 0 <= results[metric] <= 1, metric
        assert least is None or results[metric] >= least
    output = capsys.readouterr().out
    if name == "residual_block":
        assert "cannot add (None, 32, 32, 64) and (None, 32, 32, 3)" in output
        assert "the model predicts one class per pixel" in output
    if name == "gan":
        assert results["distance_after"] < results["distance_before"]
    if name == "edit_compare":
        assert (results["findings"], results["left"]) == (3, 0)
    if name == "mixture_of_experts":
        assert results["busiest_expert_0.05"] < results["busiest_expert_0.0"]
