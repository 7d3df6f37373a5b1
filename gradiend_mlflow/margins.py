"""What stands around a heatmap's cells: brackets of groups, a dendrogram, a side bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.canvas import fitting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTERS_PER_CELL = 6
_GAP = 0.02
NAMES_AT = 1.035  # the names of groups above, as a share of the axes
TREE_HEIGHT = 0.16


def draw_brackets(axes: Axes, brackets: Mapping[str, int], beside: float = 0.0) -> float:
    """A line with the group's name above and right of its runs, and gaps between the groups.

    Args:
        axes: The heatmap.
        brackets: The number of runs of each group, in their order.
        beside: What stands right of the cells already, as a share of the axes.

    Returns:
        The room that the names above take, in points from `NAMES_AT` on.
    """
    names = [fitting(name, 30) for name in brackets]
    # A name that is wider than its runs would run into the next.
    slanted = any(len(name) > _LETTERS_PER_CELL * n for name, n in zip(names, brackets.values(), strict=True))
    above: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slanted else {"ha": "center"}
    ends = np.cumsum(list(brackets.values()))
    outside: dict[str, Any] = {"color": "gray", "linewidth": 2.5, "clip_on": False, "solid_capstyle": "butt"}
    right = 1 + beside + _GAP
    for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True):
        span, middle = [start + 0.1, end - 0.1], (start + end) / 2
        # The first transform takes data along the axis, and a share of the axes across it.
        axes.plot(span, [1 + _GAP] * 2, transform=axes.get_xaxis_transform(), **outside)
        axes.plot([right] * 2, span, transform=axes.get_yaxis_transform(), **outside)
        axes.text(middle, NAMES_AT, name, transform=axes.get_xaxis_transform(), va="bottom", **above)
        axes.text(right + 0.015, middle, name, transform=axes.get_yaxis_transform(), ha="left", va="center")
    for end in ends[:-1]:
        axes.axvline(end, color="white", linewidth=2.5)
        axes.axhline(end, color="white", linewidth=2.5)
    return 16 + (4.5 * max(map(len, names)) if slanted else 0)


def draw_tree(axes: Axes, tree: npt.NDArray[np.float64]) -> None:
    """The dendrogram above the columns: the lower two branches meet, the more they agree."""
    from matplotlib.collections import LineCollection
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, no_plot=True)
    above = axes.inset_axes((0.0, 1 + _GAP / 2, 1.0, TREE_HEIGHT))
    # scipy puts leaves at 5, 15, 25, ...; the heatmap's columns lie at 0.5, 1.5, ...
    segments = [
        list(zip(np.array(xs) / 10, ys, strict=True)) for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    ]
    above.add_collection(LineCollection(segments, colors="0.35", linewidths=0.9))
    above.set(xlim=(0, len(tree) + 1), ylim=(0, max(float(tree[:, 2].max()), 1e-9) * 1.05))
    above.set_axis_off()


def draw_side_bar(axes: Axes, numbers: Sequence[float], title: str, *, annotated: bool, fontsize: float) -> float:
    """A column of one number per run, right of the cells.

    Returns:
        Its width and the gap before it, as a share of the axes.
    """
    width = min(max(1 / len(numbers), 0.04), 0.12)
    beside = axes.inset_axes((1 + _GAP, 0.0, width, 1.0))
    column = np.array(numbers, dtype=float)[:, None]
    low = min(0.0, _least(column))
    beside.imshow(column, aspect="auto", cmap="magma", extent=(0, 1, len(numbers), 0), vmin=low, vmax=1)
    for row, number in enumerate(column[:, 0]):
        if annotated:
            text = "-" if np.isnan(number) else f"{number:.2f}"
            light = bool(np.isnan(number) or (number - low) / (1 - low) > 0.6)  # noqa: PLR2004
            color = "black" if light else "white"
            beside.text(0.5, row + 0.5, text, color=color, ha="center", va="center", fontsize=fontsize)
    beside.set_xticks([0.5], [title], rotation=45, ha="right", rotation_mode="anchor")
    beside.tick_params(length=0)
    beside.set_yticks([])
    beside.spines[:].set_visible(False)
    return width + _GAP


def _least(column: npt.NDArray[np.float64]) -> float:
    known = column[np.isfinite(column)]
    return float(known.min()) if len(known) else 0.0
