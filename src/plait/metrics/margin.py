"""Averages of the hinge losses."""

from __future__ import annotations

from typing import Any

from plait.losses import margin
from plait.metrics.reduction import MeanMetricWrapper


class Hinge(MeanMetricWrapper):
    """Average what is missing to a margin of 1.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.Hinge()
        >>> metric.update_state([[-1.0, 1.0]], [[-2.0, 0.5]])
        >>> round(float(metric.result()), 4)
        0.25
    """

    def __init__(self, name: str = "hinge", dtype: Any = None) -> None:
        super().__init__(margin.hinge, name, dtype)


class SquaredHinge(MeanMetricWrapper):
    """Average the square of what is missing to a margin of 1.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.SquaredHinge()
        >>> metric.update_state([[-1.0, 1.0]], [[-2.0, 0.5]])
        >>> round(float(metric.result()), 4)
        0.125
    """

    def __init__(self, name: str = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(margin.squared_hinge, name, dtype)


class CategoricalHinge(MeanMetricWrapper):
    """Average what the right class is missing to a lead of 1.

    Args:
        name: the name.
        dtype: see `Metric`.

    Example:
        >>> from plait import metrics
        >>> metric = metrics.CategoricalHinge()
        >>> metric.update_state([[0.0, 1.0]], [[0.5, 1.0]])
        >>> round(float(metric.result()), 4)
        0.5
    """

    def __init__(self, name: str = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(margin.categorical_hinge, name, dtype)
