"""Runs as points on a plane, the nearer the more they overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.text import Text

from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments, colors, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, set_title
from gradiend_mlflow.figures.drawing.names import measured, named
from gradiend_mlflow.figures.drawing.text import single_line
from gradiend_mlflow.overlap.statistics.groups import complete_groups
from gradiend_mlflow.overlap.statistics.neighbours import OverlapMap

_POINTS, _LONGEST = 7.0, 24  # of a name, in points and in letters
_DOT = 0.07  # inches, across
_SHARE_OF_LEGEND = 0.25  # of the width, at most
_UNNAMED = "(some runs have no room for their names)"
# Where a name stands beside its point: to the right, to the left, above, below, and at the corners.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def plot_map(
    overlap_map: OverlapMap,
    ax: Axes | None = None,
    *,
    groups: Mapping[str, Any] | None = None,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> Axes | FigureBase:
    """Draw runs as points on a plane, the nearer the more they overlap.

    Args:
        overlap_map: The result of `map()`.
        ax: Where to draw; default a new figure, which is unknown to pyplot.
        groups: A mapping from label to group or from group to labels; each group has a color.
        title: A title above the axes.
        figsize: The size of a new figure: "column", "text", width and height in inches, or None.
        output_path: A file or files to save it to: .png, .pdf or .svg.
        show: Whether to open a window.

    Returns:
        The axes, or the new figure. Both axes have one scale, because only distances mean something; the labels below
        and beside say how much of the variation each shows. Runs are named as far as there is room, and the label
        below says if some are not.

    Raises:
        InvalidInputError: If `overlap_map` is not a map, `groups` names an unknown label, or another argument is not
            acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, i], space=9) for i, name in ((1, "a"), (2, "b"), (3, "c"))}
        >>> (axes,) = plot_map(compute_overlap(sets).map()).axes
        >>> axes.get_xlabel(), [text.get_text() for text in axes.texts]
        ('50 % of the variation', ['a', 'b', 'c'])
    """
    check_arguments(overlap_map, (OverlapMap,), title, ax=ax)
    sheet = Sheet.checked(ax, figsize=figsize, output_path=output_path, show=show)
    group_of = complete_groups(groups, overlap_map.labels) if groups is not None else {}
    axes = ax or sheet.figure(lambda width: 0.85 * width, usual=5.0).add_subplot()
    _draw_points(axes, overlap_map, group_of)
    shares = [f"{share:.0%}".replace("%", " %") + " of the variation" for share in overlap_map.explained]
    axes.set_xlabel(shares[0], fontsize=_POINTS + 1)
    axes.set_ylabel(shares[1], fontsize=_POINTS + 1)
    axes.tick_params(labelsize=_POINTS)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.grid(color=shade(axes.figure, 0.08))
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    set_title(axes, title)
    lay_out(axes)
    written = _name(axes, overlap_map)
    if len(written) < len(overlap_map.labels):
        for text in written:
            text.remove()
        axes.set_xlabel(f"{shares[0]}\n{_UNNAMED}")  # which takes room, so that points move
        lay_out(axes)
        _name(axes, overlap_map)
    return sheet.finished(ax) if ax is not None else sheet.finished(axes.figure)


def _draw_points(axes: Axes, overlap_map: OverlapMap, group_of: Mapping[str, str]) -> None:
    """Draw the points, in the colors of their groups if there are any, with a legend."""
    groups = list(dict.fromkeys(group_of.values()))
    texts = named(groups, cell_size(axes)[0] * _SHARE_OF_LEGEND, _POINTS + 1, lines=3, ways=("wrapped", "shortened"))
    for group, text, color in zip(groups or [""], texts.texts or [""], colors(max(len(groups), 1)), strict=True):
        rows = [row for row, label in enumerate(overlap_map.labels) if group_of.get(label, "") == group]
        x, y = overlap_map.points[rows].T
        axes.scatter(x, y, s=(72 * _DOT) ** 2, color=color, label=text, linewidths=0, zorder=3)
    if groups:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=texts.points)


def _name(axes: Axes, overlap_map: OverlapMap) -> list[Text]:
    """Write names beside their points, where neither a point nor a name is; returns those that have room."""
    written: list[Text] = []
    figure: Any = axes.get_figure(root=True)
    places = axes.transData.transform(overlap_map.points) / figure.dpi
    frame = axes.get_window_extent().get_points() / figure.dpi
    taken = np.concatenate([places - _DOT / 2, places + _DOT / 2], axis=1)
    for place, text in zip(places, single_line(overlap_map.labels, _LONGEST), strict=True):
        size = np.array(measured(text, _POINTS))
        for side in np.array(_SIDES, dtype=float):
            middle = place + side * (size / 2 + 0.6 * _DOT)
            box = np.concatenate([middle - size / 2, middle + size / 2])
            if _is_free(box, taken, frame):
                x, y = axes.transData.inverted().transform(place * figure.dpi)
                right, up = 72 * (middle - place)
                at: Any = {"textcoords": "offset points", "ha": "center", "va": "center"}
                written.append(axes.annotate(text, (x, y), (right, up), fontsize=_POINTS, **at))
                taken = np.vstack([taken, box])
                break
    return written


def _is_free(box: npt.NDArray[np.float64], taken: npt.NDArray[np.float64], frame: npt.NDArray[np.float64]) -> bool:
    """Whether a box (x0, y0, x1, y1) lies in the frame and over none of those that are taken."""
    inside = (box[:2] >= frame[0]).all() and (box[2:] <= frame[1]).all()
    apart = (box[2:] <= taken[:, :2]).any(axis=1) | (box[:2] >= taken[:, 2:]).any(axis=1)
    return bool(inside and apart.all())
