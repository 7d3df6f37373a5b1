"""Overlaps to draw, and what is read back from figures of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow import (
    Overlap,
    TopKSet,
    WeightSpace,
    compute_overlap,
    plot_curve,
    plot_heatmap,
    plot_layers,
    plot_upset,
    plot_venn,
)

SPACE = WeightSpace(
    ("embedding", "layer.0.query", "layer.1.query", "layer.1.output", "layer.10.output"),
    ((10,), (10,), (10,), (10,), (10,)),
)
EXTREMES = {
    "identical": ([1, 2, 30], [1, 2, 30], [1, 2, 30]),
    "disjoint": ([1, 2], [3, 4], [45, 46]),
    "nothing in all": ([1, 2], [2, 43], [43, 1]),
    "contained": ([1, 2, 3, 4], [2, 3], [3]),
}
PLOTS = (plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers)


def family(lists: Any) -> Overlap:
    """Sets of the given weights, called a, b, c."""
    return compute_overlap({n: TopKSet.from_indices(x, space=SPACE) for n, x in zip("abcdef", lists, strict=False)})


def overlap_of(n: int, k: int = 20, size: int = 50, prefix: str = "run") -> Overlap:
    """Some sets that overlap."""
    random = np.random.default_rng(n)
    return compute_overlap(
        {f"{prefix} {i}": TopKSet.from_indices(random.permutation(size)[:k], space=size) for i in range(n)}
    )


def texts(axes: Axes) -> list[str]:
    """Everything written on the axes, apart from empty texts."""
    return [text.get_text() for text in axes.texts if text.get_text()]


def ticks(axes: Axes) -> tuple[list[str], list[str]]:
    """The labels of both axes."""
    return [t.get_text() for t in axes.get_xticklabels()], [t.get_text() for t in axes.get_yticklabels()]


def figure_of(made: Axes | Figure) -> Figure:
    """The figure that a function has drawn, whether it returns it or its axes."""
    return made.figure if isinstance(made, Axes) else made


def axes_of(made: Axes | Figure) -> Axes:
    """The axes that a function has drawn on first."""
    return made if isinstance(made, Axes) else made.axes[0]
