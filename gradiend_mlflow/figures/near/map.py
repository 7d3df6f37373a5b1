"""Runs as points on a plane, the nearer the more they overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, ScaledTranslation

from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments, colors, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, own_size, set_title
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, in_lines, in_rows, measured, named, points_of, widest
from gradiend_mlflow.figures.drawing.page import PAD, small_points
from gradiend_mlflow.figures.drawing.text import warn_user
from gradiend_mlflow.figures.plans.places import Place, places_beside
from gradiend_mlflow.overlap.statistics.groups import complete_groups
from gradiend_mlflow.overlap.statistics.neighbours import OverlapMap

_DOT = 0.07  # inches, across
_LETTERS = (1.2, 0.8)  # inches: the width of shortened names
_WORTH = 0.4  # the quality from which on shortened names say more than numbers with a key
_SHARE_OF_AXES = 0.4  # of the height, at least, that a key leaves
_UNNAMED = "some runs have no room for their names"


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
        The axes, or the new figure. Both axes have one scale, because only distances mean something; their labels say
        how much of the variation each shows. Runs are named beside their points; where names have no room they are
        shortened, then numbers with a key below. A line leads from a point to a name or number that has no room
        beside it. If even numbers have no room, a line below and a warning say so; very small axes have no legend.

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
    axes = ax or sheet.figure(lambda width: 0.65 * width + _around(title, group_of), usual=5.0).add_subplot()
    _draw_points(axes, overlap_map, group_of)
    _draw_frame(axes, overlap_map)
    set_title(axes, title)
    _name(
        axes, overlap_map, list(dict.fromkeys(group_of.values())), grows=ax is None and not isinstance(figsize, tuple)
    )
    return sheet.finished(ax) if ax is not None else sheet.finished(axes.figure)


def _around(title: str | None, group_of: Mapping[str, str]) -> float:
    """The height in inches of what stands above and below the points, without a key."""
    lines = {"axes.titlesize": bool(title), "xtick.labelsize": 1, "axes.labelsize": 1}
    groups = len(set(group_of.values())) * measured("0", small_points())[1]
    return groups + sum(1.4 * count * measured("0", points_of(size))[1] for size, count in lines.items())


def _draw_points(axes: Axes, overlap_map: OverlapMap, group_of: Mapping[str, str]) -> None:
    """Draw the points, in the colors of their groups if there are any."""
    groups = list(dict.fromkeys(group_of.values())) or [""]
    for group, color in zip(groups, colors(len(groups)), strict=True):
        rows = [row for row, label in enumerate(overlap_map.labels) if group_of.get(label, "") == group]
        x, y = overlap_map.points[rows].T
        axes.scatter(x, y, s=(72 * _DOT) ** 2, color=color, linewidths=0, zorder=3)


def _draw_frame(axes: Axes, overlap_map: OverlapMap) -> None:
    points, (wide, high) = points_of("axes.labelsize"), cell_size(axes).tolist()
    shares = [f"{share:.0%}".replace("%", " %") + " of the variation" for share in overlap_map.explained]
    axes.set_ylabel(in_lines(shares[1], 0.5 * high, points), fontsize=points)
    room = wide - _left(axes)
    axes.set_xlabel(in_lines(shares[0], room, points), fontsize=points)
    for axis, size, length in ((axes.xaxis, "xtick.labelsize", room), (axes.yaxis, "ytick.labelsize", 0.5 * high)):
        each = measured("-0.00", points_of(size))[0]
        axis.set_tick_params(labelsize=points_of(size))
        # Pruned, so that none reaches over the edge.
        axis.set_major_locator(MaxNLocator(max(min(int(length / each / 1.5), 5), 2), prune="both"))
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.grid(color=shade(axes.figure, 0.08))
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class _Naming:
    """What is written beside the points, in which size, and the lines that stand below."""

    texts: tuple[str, ...]
    points: float
    lines: bool
    key: str = ""


def _namings(labels: tuple[str, ...], room: float) -> Iterator[_Naming]:
    """All ways to name the runs, the best first; keys are `room` inches wide."""
    body, small = points_of("font.size"), small_points()
    for lines, points in ((False, body), (False, small), (True, small)):
        yield _Naming(named(labels, np.inf, points).texts, points, lines)
    for letters in _LETTERS:
        names = named(labels, letters, small, ways=("wrapped", "shortened"), least=min(small, 6.0))
        if names.way != "numbered" and names.quality(labels, small) >= _WORTH:
            yield _Naming(names.texts, names.points, lines=True)
    numbers = named(labels, 0.0, small)
    key = in_rows(numbers.key, room, small)
    for points in (small, LEAST_POINTS):
        yield _Naming(numbers.texts, points, lines=True, key=key)


def _name(axes: Axes, overlap_map: OverlapMap, groups: list[str], *, grows: bool) -> None:
    """Name runs and groups in the best way that has room; a figure that `grows` has room for any key."""
    figure: Any = axes.get_figure(root=True)
    width, height = figure.get_size_inches()
    (wide, high), place = cell_size(axes).tolist(), axes.get_position(original=True)
    room, least = wide - _left(axes), _SHARE_OF_AXES * high
    below: list[Artist] = []
    for naming in _namings(overlap_map.labels, room):
        key = measured(naming.key, small_points())[1] if naming.key else 0.0
        if not grows and key > high - least:
            continue
        figure.set_size_inches(width, height + grows * key)
        below = _laid_out(axes, place, below, (groups, naming.key, room))
        places = _places(axes, overlap_map, naming)
        if None not in places and own_size(axes)[1] > least:
            _write(axes, overlap_map, naming, places)
            return
    figure.set_size_inches(width, height)
    note = in_lines(_UNNAMED, room, small_points())
    below = _laid_out(axes, place, below, (groups, note, room))
    if own_size(axes)[1] < least:
        _laid_out(axes, place, below, ([], note, room))
    naming = replace(naming, key="")
    _write(axes, overlap_map, naming, _places(axes, overlap_map, naming))
    warn_user(f"plot_map: {_UNNAMED}: make the figure larger, or leave out ax and figsize")


def _laid_out(axes: Axes, place: Bbox, before: list[Artist], below: tuple[list[str], str, float]) -> list[Artist]:
    """Lay out the axes anew, from their first place on, with something else below them."""
    for artist in before:
        artist.remove()
    axes.set_position(place)
    axes.set_in_layout(True)  # setting a position takes them out
    drawn = write_below(axes, *below)
    lay_out(axes)
    return drawn


def _left(axes: Axes) -> float:
    """The width in inches of what stands beside the axes."""
    wide, _ = measured("-0.00", points_of("ytick.labelsize"))
    return wide + measured(axes.get_ylabel(), points_of("axes.labelsize"))[1] + 5 * PAD


def _places(axes: Axes, overlap_map: OverlapMap, naming: _Naming) -> list[Place | None]:
    figure: Any = axes.get_figure(root=True)
    points = axes.transData.transform(overlap_map.points) / figure.dpi
    frame = axes.get_window_extent().get_points() / figure.dpi
    sizes = np.array([measured(text, naming.points) for text in naming.texts])
    return places_beside(points, sizes, frame, _DOT, lines=naming.lines)


def _write(axes: Axes, overlap_map: OverlapMap, naming: _Naming, places: list[Place | None]) -> None:
    """Write what has a place, with a thin line to what is far from its point."""
    line = {"arrowstyle": "-", "linewidth": 0.5, "color": shade(axes.figure, 0.5), "shrinkA": 0, "shrinkB": 0}
    for text, point, place in zip(naming.texts, overlap_map.points, places, strict=True):
        if place is not None:
            at: Any = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": naming.points}
            offset = (72 * place.middle[0], 72 * place.middle[1])
            axes.annotate(text, tuple(point), offset, arrowprops=line if place.line else None, **at)


def write_below(axes: Axes, groups: list[str], key: str, room: float, dots: Sequence[Any] = ()) -> list[Artist]:
    """Write which color is which group, and the key, below the axes' label; `dots` are a group's each."""
    small, offset = small_points(), _below(axes) + PAD
    drawn: list[Artist] = []
    if groups:
        texts = named(groups, room - 0.2, small, lines=3, ways=("whole", "wrapped", "shortened"))
        handle, em = 0.15, texts.points / 72
        columns = max(int(room / (widest(texts.texts, texts.points) + handle + 0.15)), 1)
        at: Any = axes.transAxes + ScaledTranslation(0, -offset, axes.figure.dpi_scale_trans)
        legend = axes.legend(
            dots or axes.collections[: len(groups)],
            texts.texts,
            ncols=columns,
            fontsize=texts.points,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(0, 0),
            bbox_transform=at,
            borderaxespad=0,
            borderpad=0,
            labelspacing=0.2,
            columnspacing=0.12 / em,
            handlelength=handle / em,
            handletextpad=0.02 / em,
        )
        drawn.append(legend)
        rows = -(-len(groups) // columns)
        offset += rows * (max(measured(text, texts.points)[1] for text in texts.texts) + 0.2 * em) + PAD
    if key:
        place: Any = {
            "xycoords": "axes fraction",
            "textcoords": "offset points",
            "va": "top",
            "annotation_clip": False,
        }
        drawn.append(axes.annotate(key, (0, 0), (0, -72 * offset), fontsize=small, **place))
    return drawn


def _below(axes: Axes) -> float:
    """The height in inches of ticks and label below the axes."""
    axis = axes.xaxis.get_tightbbox()
    return (axes.get_window_extent().y0 - axis.y0) / axes.figure.dpi if axis else 0.0
