"""Class weights: a factor for every sample, from the class of its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from plait.errors import ConfigError, DataError
from plait.graph import tree


class ClassWeights:
    """Turns class weights into sample weights, output by output.

    Args:
        spec: class -> weight, or "balanced" (samples / (classes * samples of the class)); for
            several outputs a dict of these by output name. None: no weights.
        targets: all targets, which "balanced" counts; None if they come batch by batch.
        names: the outputs' names, None if not known.

    Raises:
        ConfigError: it fits no output, or "balanced" has nothing to count.
    """

    def __init__(self, spec: Any, targets: Any, names: Sequence[str] | None) -> None:
        self.names = list(names) if names else None
        self.by_output = self._by_output(spec)
        for name, given in self.by_output.items():
            if given != "balanced":
                _check_weights(given)
            else:
                found = None if targets is None else self._targets(targets).get(name)
                if found is None:
                    raise ConfigError(
                        'class_weight="balanced" counts the classes, which needs all targets in '
                        "memory.",
                        fix="pass y as an array, or the weights themselves: {0: 1.0, 1: 5.0}",
                    )
                self.by_output[name] = balanced(found)

    def _by_output(self, spec: Any) -> dict[str | None, Any]:
        if spec is None:
            return {}
        if spec == "balanced":
            spec = dict.fromkeys(self.names, "balanced") if self.names else {None: "balanced"}
            return dict(spec)
        if not isinstance(spec, Mapping):
            raise ConfigError(
                f"class_weight is a dict class -> weight or 'balanced'; received {spec!r}.",
                fix="class_weight={0: 1.0, 1: 5.0}",
            )
        if any(isinstance(key, str) for key in spec):
            unknown = [key for key in spec if self.names is None or key not in self.names]
            if unknown:
                raise ConfigError(
                    f"class_weight names the output {unknown[0]!r}, which the model does not have.",
                    fix=f"its outputs are {', '.join(map(repr, self.names or []))}",
                )
            return dict(spec)
        if self.names and len(self.names) > 1:
            raise ConfigError(
                f"class_weight does not say which of the outputs "
                f"{', '.join(map(repr, self.names))} it is for.",
                fix=f"class_weight={{{self.names[0]!r}: {{0: 1.0, 1: 5.0}}}}",
            )
        return {self.names[0] if self.names else None: dict(spec)}

    def _targets(self, targets: Any) -> dict[str | None, Any]:
        if self.names is None:
            return {None: targets if tree.is_leaf(targets) else None}
        if isinstance(targets, Mapping):
            return dict(targets)
        flat = [targets] if tree.is_leaf(targets) else tree.flatten(targets)
        return dict(zip(self.names, flat, strict=False))

    def __call__(self, targets: Any, sample_weight: Any) -> Any:
        """Return sample weights for these targets, times those given."""
        if not self.by_output:
            return sample_weight
        found = self._targets(targets)
        for name in self.by_output:
            if found.get(name) is None:
                which = f"output '{name}'" if name else "the output"
                raise DataError(
                    f"class_weight is given for {which}, but there are no targets for it.",
                    fix="pass its targets, or leave it out of class_weight",
                )
        if self.names is None:
            return _times(_weights(found[None], self.by_output[None]), sample_weight)
        if isinstance(sample_weight, Mapping):
            given = dict(sample_weight)
        else:
            flat = [sample_weight] if tree.is_leaf(sample_weight) else tree.flatten(sample_weight)
            flat = flat * len(self.names) if len(flat) == 1 else flat
            given = dict(zip(self.names, flat, strict=False))
        for name, weights in self.by_output.items():
            given[name] = _times(_weights(found[name], weights), given.get(name))
        return {name: weight for name, weight in given.items() if weight is not None}


def _check_weights(weights: Any) -> None:
    numbers = isinstance(weights, Mapping) and all(
        isinstance(label, Real) and isinstance(weight, Real) for label, weight in weights.items()
    )
    if not numbers:
        raise ConfigError(
            f"class_weight gives a number for each class number; received {weights!r}.",
            fix="class_weight={0: 1.0, 1: 5.0}",
        )


def balanced(targets: Any) -> dict[int, float]:
    """Return for each class: samples / (classes * samples of the class)."""
    labels = _labels(targets)
    classes, counts = np.unique(labels, return_counts=True)
    weights = labels.size / (len(classes) * counts)
    return {int(label): float(weight) for label, weight in zip(classes, weights, strict=True)}


def _labels(targets: Any) -> np.ndarray:
    """Return class numbers; of scores or one-hot rows, the class with the largest."""
    array = np.asarray(targets)
    if array.ndim > 1 and array.shape[-1] == 1:
        array = array[..., 0]
    elif array.ndim > 1 and (array.dtype.kind == "f" or (array.sum(-1) == 1).all()):
        array = array.argmax(-1)
    return np.rint(array).astype(np.int64)


def _weights(targets: Any, weights: Mapping[int, float]) -> np.ndarray:
    labels = _labels(targets)
    result = np.ones(labels.shape, np.float32)
    for label, weight in weights.items():
        result[labels == int(label)] = weight
    return result


def _times(weights: np.ndarray, given: Any) -> np.ndarray:
    if given is None:
        return weights
    given = np.asarray(given, np.float32)
    if given.ndim > weights.ndim:
        weights = weights.reshape(weights.shape + (1,) * (given.ndim - weights.ndim))
    elif given.ndim < weights.ndim:
        given = given.reshape(given.shape + (1,) * (weights.ndim - given.ndim))
    return weights * given
