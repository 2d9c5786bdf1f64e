"""Averages of the losses of distributions."""

from __future__ import annotations

from typing import Any

from plait.losses import crossentropy, probabilistic, sparse
from plait.metrics.reduction import MeanMetricWrapper


class KLDivergence(MeanMetricWrapper):
    """Average the Kullback-Leibler divergence of two distributions.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.KLDivergence()
        >>> metric.update_state([[0.5, 0.5]], [[0.9, 0.1]])
        >>> round(float(metric.result()), 4)
        0.5108
    """

    def __init__(self, name: str = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(probabilistic.kl_divergence, name, dtype)


class Poisson(MeanMetricWrapper):
    """Average the Poisson loss of counts and predicted rates.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Poisson()
        >>> metric.update_state([[1.0, 2.0]], [[1.0, 2.0]])
        >>> round(float(metric.result()), 4)
        0.8069
    """

    def __init__(self, name: str = "poisson", dtype: Any = None) -> None:
        super().__init__(probabilistic.poisson, name, dtype)


class BinaryCrossentropy(MeanMetricWrapper):
    """Average the crossentropy of yes/no targets and probabilities.

    Args:
        name: the name.
        dtype: see `Metric`.
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; how far targets are moved to the uniform distribution.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.BinaryCrossentropy()
        >>> metric.update_state([[0.0, 1.0]], [[0.1, 0.8]])
        >>> round(float(metric.result()), 4)
        0.1643
    """

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(
            crossentropy.binary_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """Average the crossentropy of one-hot targets and class probabilities.

    Args:
        name: the name.
        dtype: see `Metric`.
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; how far targets are moved to the uniform distribution.
        axis: where the classes are.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.CategoricalCrossentropy()
        >>> metric.update_state([[0.0, 1.0]], [[0.2, 0.8]])
        >>> round(float(metric.result()), 4)
        0.2231
    """

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            crossentropy.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """Average the crossentropy of class numbers and class probabilities.

    Args:
        name: the name.
        dtype: see `Metric`.
        from_logits: predictions are logits, not probabilities.
        ignore_class: a class number that costs 0, and with weights is left out of the mean.
        axis: where the classes are.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.SparseCategoricalCrossentropy()
        >>> metric.update_state([1], [[0.2, 0.8]])
        >>> round(float(metric.result()), 4)
        0.2231
    """

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            sparse.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
