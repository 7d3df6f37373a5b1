"""What stands around a heatmap's cells: brackets of groups, a dendrogram, a side bar, the meaning of the colors.

All of it is placed in points from the cells' edges, so that it does not grow or shrink into each other with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.figures.canvas import shade
from gradiend_mlflow.figures.text import fitting, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 6.0  # points, as every size here
_TREE_HEIGHT = 48.0
_BAR_WIDTH = 12.0
_LETTER = 6.0  # how wide one is
_SECOND = 0.28  # of the height, for the colors of the side bar
EMPTY_COLOR = "0.8"


def right_of(axes: Axes, *, data: bool = False) -> Any:
    """Coordinates of points right of the axes, and along them of shares of their height, or of their data."""
    from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

    figure: Any = axes.figure
    corner: Any = axes.transAxes
    across = Affine2D().scale(1 / 72) + figure.dpi_scale_trans + ScaledTranslation(1, 0, corner)
    return blended_transform_factory(across, axes.transData if data else axes.transAxes)


def above(axes: Axes, *, data: bool = False) -> Any:
    """The same above: along the axes shares of their width, or their data, and points upwards."""
    from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

    figure: Any = axes.figure
    corner: Any = axes.transAxes
    upwards = Affine2D().scale(1 / 72) + figure.dpi_scale_trans + ScaledTranslation(0, 1, corner)
    return blended_transform_factory(axes.transData if data else axes.transAxes, upwards)


def draw_brackets(
    axes: Axes, brackets: Mapping[str, int], beside: float, cell: float, *, named: bool
) -> tuple[float, float]:
    """A line with the group's name above and right of its runs, and gaps between the groups.

    Args:
        axes: The heatmap.
        brackets: The number of runs of each group, in their order.
        beside: How far what stands right of the cells already reaches.
        cell: The width of a cell.
        named: Whether the names are written at the right too.

    Returns:
        How far all reaches now, upwards and to the right.
    """
    names = fitting(brackets, 30)
    # A name that is wider than its runs would run into the next.
    slanted = any(len(name) * _LETTER > cell * n for name, n in zip(names, brackets.values(), strict=True))
    placed: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slanted else {"ha": "center"}
    ends = np.cumsum(list(brackets.values()))
    outside: dict[str, Any] = {"color": "gray", "linewidth": 2.5, "clip_on": False, "solid_capstyle": "butt"}
    right, names_above, names_beside = beside + _GAP, [], []
    for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True):
        span, middle = [start + 0.1, end - 0.1], (start + end) / 2
        axes.plot(span, [_GAP] * 2, transform=above(axes, data=True), **outside)
        axes.plot([right] * 2, span, transform=right_of(axes, data=True), **outside)
        upright = axes.text(middle, _GAP + 4, name, transform=above(axes, data=True), va="bottom", **placed)
        names_above.append(upright)
        if named:
            names_beside.append(axes.text(right + 4, middle, name, transform=right_of(axes, data=True), va="center"))
    for end in ends[:-1]:
        axes.axvline(end, color="white", linewidth=2.5)
        axes.axhline(end, color="white", linewidth=2.5)
    for written in [*names_above, *names_beside]:
        written.set_fontsize(10 if cell > 2 * _LETTER else 8)
    high, wide = (
        max((getattr(name.get_window_extent(), size) for name in texts), default=0) * 72 / axes.figure.dpi
        for texts, size in ((names_above, "height"), (names_beside, "width"))
    )
    return _GAP + 4 + high, right + 4 + wide


def draw_tree(axes: Axes, tree: npt.NDArray[np.float64]) -> float:
    """The dendrogram above the columns that it has ordered; returns how far it reaches upwards."""
    from matplotlib.collections import LineCollection
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, no_plot=True)
    over = axes.inset_axes((0.0, _GAP / 2, 1.0, _TREE_HEIGHT), transform=above(axes))
    # scipy puts leaves at 5, 15, 25, ...; the heatmap's columns lie at 0.5, 1.5, ...
    segments = [
        list(zip(np.array(xs) / 10, ys, strict=True)) for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    ]
    over.add_collection(LineCollection(segments, colors=shade(axes.figure, 0.65), linewidths=0.9))
    over.set(xlim=(0, len(tree) + 1), ylim=(0, max(float(tree[:, 2].max()), 1e-9) * 1.05))
    over.set_axis_off()
    return _GAP / 2 + _TREE_HEIGHT


def draw_side_bar(axes: Axes, numbers: Sequence[float], title: str, *, fontsize: float | None) -> tuple[Any, float]:
    """A column of one number per run, right of the cells, written with `fontsize` if there is one.

    Returns:
        Its image, and how far it reaches to the right.
    """
    width = 3.2 * fontsize if fontsize else _BAR_WIDTH
    beside = axes.inset_axes((_GAP, 0.0, width, 1.0), transform=right_of(axes))
    column = np.array(numbers, dtype=float)[:, None]
    low = min(0.0, float(np.nanmin(column, initial=0.0)))
    image = beside.imshow(column, aspect="auto", cmap="magma", extent=(0, 1, len(numbers), 0), vmin=low, vmax=1)
    for row, number in enumerate(column[:, 0]):
        if fontsize:
            text = "-" if np.isnan(number) else f"{number:.2f}"
            light = bool(np.isnan(number) or (number - low) / (1 - low) > 0.6)  # noqa: PLR2004
            color = "black" if light else "white"
            beside.text(0.5, row + 0.5, text, color=color, ha="center", va="center", fontsize=fontsize)
    # Upright, so that it does not lie over the names of the columns and what is said below them.
    beside.set_xticks([0.5], [title], rotation=90, fontsize=8)
    beside.tick_params(length=0)
    beside.set_yticks([])
    beside.spines[:].set_visible(False)
    return image, _GAP + width


def draw_color_bar(axes: Axes, title: str, beside: float, *, height: float, empty: bool, side: Any = None) -> None:
    """The meaning of the colors, right of everything else.

    Args:
        axes: The heatmap.
        title: What its cells show.
        beside: How far what stands right of the cells already reaches.
        height: The cells' height.
        empty: Whether to say that cells of `EMPTY_COLOR` are 0, which the scale of the others does not have.
        side: The image of a side bar whose colors have to be explained too.
    """
    figure: Any = axes.figure
    explained = side is not None and _SECOND * height > _LETTER * 8
    x, low = beside + 2 * _GAP, _SECOND + 0.1 if explained else 0.0
    start = low + 0.1 if empty else low
    bar = axes.inset_axes((x, start, _BAR_WIDTH, 1 - start), transform=right_of(axes))
    figure.colorbar(axes.collections[0], cax=bar)
    _name(bar, title, height * (1 - start))
    if empty:
        from matplotlib.patches import Rectangle

        where: dict[str, Any] = {"transform": right_of(axes), "clip_on": False}
        bar.add_patch(Rectangle((x, low), _BAR_WIDTH, 0.05, facecolor=EMPTY_COLOR, **where))
        bar.text(x + _BAR_WIDTH + 7, low + 0.025, "0", va="center", transform=right_of(axes))
    if explained:
        second = axes.inset_axes((x, 0.0, _BAR_WIDTH, _SECOND), transform=right_of(axes))
        figure.colorbar(side, cax=second)
        second.set_yticks(side.get_clim())
        _name(second, "correlation", height * _SECOND)
    elif side is not None:  # no room but beside its name
        side.axes.set_xticklabels(["correlation\n{:.2g} to {:.2g}".format(*side.get_clim())])
    for drawn in axes.child_axes:
        for spine in drawn.spines.values():
            spine.set_visible(False)


def _name(bar: Axes, title: str, height: float) -> None:
    """The bar's title, in at most two lines that are no longer than the bar, as large as that goes."""
    for size in (10, 8, 7):
        lines = wrapped(title, max(int(height / (0.6 * size)), 16))
        if lines.count("\n") < 2 and max(map(len, lines.split("\n"))) * 0.6 * size <= height:  # noqa: PLR2004
            break
    bar.set_ylabel(lines, fontsize=size)
    bar.tick_params(labelsize=size)
