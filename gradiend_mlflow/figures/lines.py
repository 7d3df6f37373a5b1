"""Lines with their names: at their ends, in a legend, or as numbers with a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from gradiend_mlflow.figures.drawing.canvas import colors, shade
from gradiend_mlflow.figures.drawing.layout import own_size
from gradiend_mlflow.figures.drawing.names import measured
from gradiend_mlflow.figures.drawing.page import PAD
from gradiend_mlflow.figures.plans.line_names import GAP, HANDLE, Naming, apart, spread
from gradiend_mlflow.figures.plans.lines import Line, Panel

_DASH = 4  # widths of the line
_MARKED_UP_TO = 25  # points


def draw_lines(axes: Axes, ks: npt.NDArray[np.int64], panel: Panel) -> list[Line2D]:
    """Draw a panel's lines; returns those that have a name, in their order.

    Equal lines take turns, in dashes and in markers.
    """
    palette = colors(1 + max([0, *[line.color or 0 for line in panel.lines]]))
    for color, values in panel.thin.items():
        ink = shade(axes.figure, 0.25) if color is None else palette[color]
        paths = [np.column_stack([ks, own]) for own in values.T]
        axes.add_collection(LineCollection(paths, colors=[ink], linewidths=0.5, alpha=0.6, zorder=1))
    if panel.band is not None:
        axes.fill_between(ks, *panel.band, alpha=0.25, color=palette[0], linewidth=0, zorder=2)
    named = [line for line in panel.lines if line.color is not None or line.strong]
    _, kind_of = np.unique(np.array([line.values for line in named]), axis=0, return_inverse=True)
    kinds = kind_of.ravel().tolist()
    drawn = {}
    for place, line in enumerate(named):
        equal = [other for other, kind in enumerate(kinds) if kind == kinds[place]]
        ink = shade(axes.figure, 0.9) if line.color is None else palette[line.color]
        drawn[id(line)] = _draw_line(axes, ks, line, ink, (equal.index(place), len(equal)))
    by_chance: Any = {"color": shade(axes.figure, 0.6), "linestyle": "--", "linewidth": 1}
    return [
        drawn[id(line)] if id(line) in drawn else axes.plot(ks, line.values, **by_chance)[0] for line in panel.lines
    ]


def _draw_line(axes: Axes, ks: npt.NDArray[np.int64], line: Line, color: Any, turns: tuple[int, int]) -> Line2D:
    turn, equal = turns
    style: dict[str, Any] = {"linewidth": 2.2 if line.strong else 1.4, "linestyle": "-"}
    if equal > 1:
        style["linestyle"] = (_DASH * (equal - 1 - turn), (_DASH, _DASH * (equal - 1)))
    elif line.dashed:
        style["linestyle"] = (0, (3, 1))
    if line.pair is not None and len(ks) <= _MARKED_UP_TO:
        rings = len(ks) < equal  # too few markers to take turns: they become rings around each other
        style |= {"marker": "o", "markersize": 3 + 3 * (equal - 1 - turn) * rings}
        style["markevery"] = None if rings else (turn, equal)
    return axes.plot(ks, line.values, color=color, dash_capstyle="butt", clip_on=False, zorder=3, **style)[0]


def name_at_ends(axes: Axes, lines: Sequence[Line2D], texts: Sequence[str], points: float) -> list[Artist]:
    """Write each line's name behind its end, all of them apart, with a thin line to those that had to move."""
    (low, high), height = axes.get_ylim(), own_size(axes)[1]
    sizes = [(measured(text, points)[1] + apart(points)) / height for text in texts]
    beside = axes.transAxes + ScaledTranslation(GAP, 0, axes.figure.dpi_scale_trans)
    ends: list[Any] = [np.asarray(line.get_xydata())[-1] for line in lines]
    wanted = [(y - low) / (high - low) for _, y in ends]
    drawn: list[Artist] = []
    for line, end, text, place in zip(lines, ends, texts, spread(wanted, sizes, 1.0), strict=True):
        if not text:
            continue
        color = line.get_color()
        drawn.append(
            axes.annotate(
                text,
                end,
                (1, place),
                textcoords=beside,
                fontsize=points,
                va="center",
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": color,
                    "linewidth": 0.8,
                    "shrinkA": 0,
                    "shrinkB": 2,
                    "relpos": (0, 0.5),
                },
            )
        )
    return drawn


def name_below(axes: Axes, lines: Sequence[Line2D], naming: Naming, offset: float) -> list[Artist]:
    """Write the legend and the key, as far as there is one, `offset` inches below the axes."""
    drawn: list[Artist] = []
    if naming.place == "below":
        drawn.append(_legend(axes, lines, naming, offset + PAD))
    if naming.key:
        place: Any = {
            "xycoords": "axes fraction",
            "textcoords": "offset points",
            "va": "top",
            "annotation_clip": False,
        }
        below = -72 * (offset + naming.legend + PAD)
        drawn.append(axes.annotate(naming.key, (0, 0), (0, below), fontsize=naming.points, **place))
    return drawn


def _legend(axes: Axes, lines: Sequence[Line2D], naming: Naming, offset: float) -> Artist:
    handles = [
        Line2D([], [], color=line.get_color(), linestyle=line.get_linestyle(), linewidth=line.get_linewidth())
        for line in lines
    ]
    em = naming.points / 72
    return axes.legend(
        handles,
        naming.texts[0],
        ncols=naming.columns,
        fontsize=naming.points,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transAxes + ScaledTranslation(0, -offset, axes.figure.dpi_scale_trans),
        borderaxespad=0,
        borderpad=0,
        labelspacing=0,
        columnspacing=0.15 / em,
        handlelength=0.7 * HANDLE / em,
        handletextpad=0.3 * HANDLE / em,
    )
