"""Runs as the leaves of a tree, whose branches meet the earlier the less they overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments, colors, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, set_title, warn_of_space
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Way, in_lines, measured, named, points_of
from gradiend_mlflow.figures.drawing.page import PAD
from gradiend_mlflow.figures.near.map import write_below
from gradiend_mlflow.overlap.measures import Value, check_value, title_of
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap
from gradiend_mlflow.overlap.statistics.groups import complete_groups

_DOT = 0.07  # inches, across
_ROW = 1.25  # heights of a name from one to the next
_SHARE_OF_NAMES = 0.5  # of the width, at most
_AROUND, _BESIDE = 0.3, 0.15  # inches


def plot_tree(
    overlap: Overlap | SeedOverlap,
    ax: Axes | None = None,
    *,
    value: Value = "intersection_frac",
    groups: Mapping[str, Any] | None = None,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> Axes | FigureBase:
    """Draw the runs as leaves of `overlap.tree_of(value)`: the farther left two branches meet, the less they overlap.

    Args:
        overlap: The overlap, of sets or of trainings with their seeds aggregated.
        ax: Where to draw; default a new figure, which is unknown to pyplot.
        value: The measure of overlap.
        groups: A mapping from label to group or from group to labels; each group has a color.
        title: A title above the axes.
        figsize: The size of a new figure: "column", "text", width and height in inches, or None. The first two are as
            high as the names need.
        output_path: A file or files to save it to: .png, .pdf or .svg.
        show: Whether to open a window.

    Returns:
        The axes, or the new figure: from above the runs in the order in which neighbours agree best, their names on
        the right. Names that have no room are shortened so that they still differ, or left out with a warning.

    Raises:
        InvalidInputError: If there are fewer than two runs, or an argument is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> lists = {"a": [0, 1, 2], "b": [2, 5, 6], "c": [0, 1, 3]}
        >>> overlap = compute_overlap({name: TopKSet.from_indices(own, space=9) for name, own in lists.items()})
        >>> [text.get_text() for text in plot_tree(overlap).axes[0].get_yticklabels()]
        ['b', 'a', 'c']
    """
    from scipy.cluster.hierarchy import dendrogram

    check_arguments(overlap, (Overlap, SeedOverlap), title, ax=ax)
    sheet = Sheet.checked(ax, figsize=figsize, output_path=output_path, show=show)
    tree = overlap.tree_of(check_value(value))
    group_of = complete_groups(groups, overlap.labels) if groups is not None else {}
    names_of_groups = list(dict.fromkeys(group_of.values()))
    drawn = dendrogram(tree, no_plot=True)
    labels = [overlap.labels[leaf] for leaf in drawn["leaves"] or ()]
    tick = points_of("ytick.labelsize")
    row = _ROW * measured("0", tick)[1]
    axes = (
        ax or sheet.figure(lambda _: _around(title, len(names_of_groups)) + row * len(labels), usual=5.0).add_subplot()
    )
    # scipy puts leaves at 5, 15, 25, ...
    segments = [*np.dstack([np.array(drawn["dcoord"]), np.array(drawn["icoord"]) / 10 - 0.5])]
    axes.add_collection(LineCollection(segments, colors=shade(axes.figure, 0.65), linewidths=1.0, zorder=2))
    ink = dict(zip(names_of_groups, colors(len(names_of_groups)), strict=True))
    dots = [
        axes.scatter(0 * rows, rows, s=(72 * _DOT) ** 2, color=color, linewidths=0, zorder=3, clip_on=False)
        for group, color in ink.items()
        for rows in [np.array([place for place, label in enumerate(labels) if group_of[label] == group])]
    ]
    most = max(float(tree[:, 2].max()), 1e-9)
    axes.set(xlim=(1.03 * most, -0.02 * most), ylim=(len(labels) - 0.4, -0.6), axisbelow=True)
    _name(axes, labels, tick, f"1 - overlap / largest overlap; overlap: {title_of(value, overlap.unit)}")
    set_title(axes, title)
    _lay_out(axes, dots, names_of_groups)
    return sheet.finished(ax) if ax is not None else sheet.finished(axes.figure)


def _around(title: str | None, groups: int) -> float:
    """The height in inches of what stands above and below the rows."""
    lines = {"axes.titlesize": bool(title), "xtick.labelsize": 1, "axes.labelsize": 2, "legend.fontsize": groups}
    return _AROUND + sum(1.3 * count * measured("0", points_of(size))[1] for size, count in lines.items())


def _name(axes: Axes, labels: list[str], points: float, what: str) -> None:
    """Name the runs on the right, and say below what the distances are."""
    width, height = cell_size(axes).tolist()
    room = 0.8 * height / len(labels)
    points = max(min(points, points * room / measured("0", points)[1]), LEAST_POINTS)
    ways: tuple[Way, ...] = ("whole", "shortened")
    names = named(labels, width * _SHARE_OF_NAMES, points, lines=1, ways=ways)
    axes.yaxis.tick_right()
    has_room = names.fit and measured("0", names.points)[1] <= height / len(labels)
    axes.set_yticks(range(len(labels)), names.texts if has_room else [""] * len(labels), fontsize=names.points)
    if not has_room:
        warn_of_space(["the names of the runs"], 1.5 * width, width)
    axes.tick_params(axis="y", length=0, pad=72 * (PAD + _DOT / 2))
    axes.tick_params(axis="x", labelsize=points_of("xtick.labelsize"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=shade(axes.figure, 0.08))
    axes.spines[["top", "right", "left"]].set_visible(False)
    label = points_of("axes.labelsize")
    wide = max((measured(text, names.points)[0] for text in names.texts), default=0.0) if has_room else 0.0
    axes.set_xlabel(in_lines(what, max(width - wide - 2 * _BESIDE, 1.0), label), fontsize=label)


def _lay_out(axes: Axes, dots: list[Any], groups: list[str]) -> None:
    """Lay the axes out, with what the colors mean below them."""
    below: list[Artist] = write_below(axes, groups, "", cell_size(axes)[0] - _BESIDE, dots) if groups else []
    lay_out(axes)
    for artist in below:  # it stands below ticks and label, whose place is known only now
        artist.remove()
    if groups:
        write_below(axes, groups, "", cell_size(axes)[0] - _BESIDE, dots)
        lay_out(axes)
