"""What stands around a heatmap's cells: brackets of groups, a dendrogram, a side bar, the meaning of the colors.

All of it is placed in points from the cells' edges, so that nothing overlaps when the cells have another size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

from gradiend_mlflow.figures.drawing.canvas import shade
from gradiend_mlflow.figures.drawing.text import single_line, wrapped

_GAP = 6.0  # points, like every size here
_TREE_HEIGHT = 48.0
_BAR_WIDTH = 12.0
_LETTER = 6.0  # the width of a letter
_SECOND = 0.28  # of the height, for the colors of the side bar
LONGEST_GROUP = 30
EMPTY_COLOR = "0.8"


def _outside(axes: Axes, edge: Literal["right", "top"], *, data: bool = False) -> Any:
    """Coordinates in points from an edge of the axes; along the edge shares of its length, or data coordinates."""
    figure: Any = axes.figure
    corner: Any = axes.transAxes
    points = Affine2D().scale(1 / 72) + figure.dpi_scale_trans
    points += ScaledTranslation(float(edge == "right"), float(edge == "top"), corner)
    along = axes.transData if data else axes.transAxes
    return blended_transform_factory(*((points, along) if edge == "right" else (along, points)))


def draw_brackets(
    axes: Axes, brackets: Mapping[str, int], start: float, cell: float, *, named: bool
) -> tuple[float, float]:
    """Draw a line with the group's name above and right of its runs, and gaps between the groups.

    Args:
        axes: The heatmap.
        brackets: The number of runs of each group, in the order of the runs.
        start: Where the space right of the cells begins, in points.
        cell: The width of a cell in points.
        named: Whether to write the names on the right too.

    Returns:
        Where the free space begins now, above and on the right, in points.
    """
    names, sizes = single_line(brackets, LONGEST_GROUP), np.array(list(brackets.values()))
    # A name that is wider than its runs would overlap the next.
    slanted = any(len(name) * _LETTER > cell * size for name, size in zip(names, sizes, strict=True))
    placed: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slanted else {"ha": "center"}
    placed["fontsize"] = fontsize = 10 if cell > 2 * _LETTER else 8
    line: dict[str, Any] = {"color": "gray", "linewidth": 2.5, "clip_on": False, "solid_capstyle": "butt"}
    over, beside = _outside(axes, "top", data=True), _outside(axes, "right", data=True)
    right, ends, above_names, beside_names = start + _GAP, np.cumsum(sizes), [], []
    for name, end, size in zip(names, ends, sizes, strict=True):
        span, middle = [end - size + 0.1, end - 0.1], end - size / 2
        axes.plot(span, [_GAP] * 2, transform=over, **line)
        axes.plot([right] * 2, span, transform=beside, **line)
        above_names.append(axes.text(middle, _GAP + 4, name, transform=over, va="bottom", **placed))
        written = axes.text(right + 4, middle, name * named, transform=beside, va="center", fontsize=fontsize)
        beside_names.append(written)
    for end in ends[:-1]:
        axes.axvline(end, color="white", linewidth=2.5)
        axes.axhline(end, color="white", linewidth=2.5)
    per_pixel = 72 / axes.figure.dpi
    high = max(name.get_window_extent().height for name in above_names) * per_pixel
    wide = max(name.get_window_extent().width for name in beside_names) * per_pixel
    return _GAP + 4 + high, right + 4 + wide


def draw_tree(axes: Axes, tree: npt.NDArray[np.float64]) -> float:
    """Draw a dendrogram above the columns that it has ordered; returns where the free space above it begins."""
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, no_plot=True)
    over = axes.inset_axes((0.0, _GAP / 2, 1.0, _TREE_HEIGHT), transform=_outside(axes, "top"))
    # scipy puts leaves at 5, 15, 25, ...; the heatmap's columns lie at 0.5, 1.5, ...
    segments = [*np.dstack([np.array(drawn["icoord"]) / 10, np.array(drawn["dcoord"])])]
    over.add_collection(LineCollection(segments, colors=shade(axes.figure, 0.65), linewidths=0.9))
    over.set(xlim=(0, len(tree) + 1), ylim=(0, max(float(tree[:, 2].max()), 1e-9) * 1.05))
    over.set_axis_off()
    return _GAP / 2 + _TREE_HEIGHT


def draw_side_bar(axes: Axes, numbers: Sequence[float], title: str, *, fontsize: float | None) -> tuple[Any, float]:
    """Draw a column of one number per run right of the cells; without a font size only its colors.

    Returns:
        Its image, and where the free space right of it begins, in points.
    """
    width = 3.2 * fontsize if fontsize else _BAR_WIDTH
    bar = axes.inset_axes((_GAP, 0.0, width, 1.0), transform=_outside(axes, "right"))
    column = np.array(numbers, dtype=float)
    low = min(0.0, float(np.nanmin(column, initial=0.0)))
    image = bar.imshow(column[:, None], aspect="auto", cmap="magma", extent=(0, 1, len(numbers), 0), vmin=low, vmax=1)
    for row, number in enumerate(column if fontsize else ()):
        text = "-" if np.isnan(number) else f"{number:.2f}"
        dark = (number - low) / (1 - low) <= 0.6  # noqa: PLR2004
        color = "white" if dark else "black"
        bar.text(0.5, row + 0.5, text, color=color, ha="center", va="center", fontsize=fontsize)
    # Upright, so that it does not overlap the columns' names and the text below them.
    bar.set_xticks([0.5], [title], rotation=90, fontsize=8)
    bar.set_yticks([])
    bar.tick_params(length=0)
    return image, _GAP + width


def draw_color_bar(axes: Axes, title: str, start: float, *, height: float, empty: bool, side: Any = None) -> None:
    """Draw the meaning of the colors, right of everything else.

    Args:
        axes: The heatmap.
        title: What its cells show.
        start: Where the space right of the cells begins, in points.
        height: The cells' height in points.
        empty: Whether to say that cells in `EMPTY_COLOR` are 0, which a logarithmic scale does not have.
        side: The image of a side bar whose colors have to be explained too.
    """
    figure: Any = axes.figure
    outside = _outside(axes, "right")
    explained = side is not None and _SECOND * height > _LETTER * 8
    x, low = start + 2 * _GAP, _SECOND + 0.1 if explained else 0.0
    bottom = low + 0.1 * empty

    def draw(image: Any, bottom: float, top: float, title: str) -> Axes:
        bar = axes.inset_axes((x, bottom, _BAR_WIDTH, top - bottom), transform=outside)
        figure.colorbar(image, cax=bar)
        _set_bar_title(bar, title, height * (top - bottom))
        return bar

    bar = draw(axes.collections[0], bottom, 1.0, title)
    if empty:
        bar.add_patch(Rectangle((x, low), _BAR_WIDTH, 0.05, facecolor=EMPTY_COLOR, transform=outside, clip_on=False))
        bar.text(x + _BAR_WIDTH + 7, low + 0.025, "0", va="center", transform=outside)
    if explained:
        draw(side, 0.0, _SECOND, "correlation").set_yticks(side.get_clim())
    elif side is not None:  # no space for it
        side.axes.set_xticklabels(["correlation\n{:.2g} to {:.2g}".format(*side.get_clim())])
    for drawn in axes.child_axes:
        drawn.spines[:].set_visible(False)


def _set_bar_title(bar: Axes, title: str, height: float) -> None:
    """Set the bar's title, in at most two lines that are no longer than the bar, as large as that goes."""
    for size in (10, 8, 7):
        lines = wrapped(title, max(int(height / (0.6 * size)), 16)).split("\n")
        if len(lines) <= 2 and max(map(len, lines)) * 0.6 * size <= height:  # noqa: PLR2004
            break
    bar.set_ylabel("\n".join(lines), fontsize=size)
    bar.tick_params(labelsize=size)
