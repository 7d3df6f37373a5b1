"""Space around axes: what a figure draws beside its axes stays within the part of the figure that is theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine, PlaceHolderLayoutEngine, TightLayoutEngine
from matplotlib.transforms import Bbox

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, in_lines
from gradiend_mlflow.figures.drawing.text import warn_user

_PASSES = 3  # labels take up another amount of space when the axes have another size
_PAD = 0.04  # inches to the edge
_LEAST = 0.05  # of the figure: the size of axes whose labels take everything


def lay_out(axes: Axes) -> None:
    """Lay out the figure of `axes` now, so that nothing of them is cut or overlaps a neighbor.

    A layout engine does so, if the figure has one. Without one, axes that need more than their part of the figure
    shrink: those in a grid have their cell up to the middle of the gaps around it, others have the whole figure.
    """
    figure: Any = axes.figure
    cell, in_figure = _cell(axes.get_subplotspec(), figure), figure.transSubfigure.inverted()
    wanted, pad = axes.get_position(original=True), _PAD * _per_inch(figure)
    engine = _engine(figure)
    for _ in range(_PASSES):
        if engine is not None:
            engine.execute(figure.figure)
            continue
        axes.apply_aspect()
        inner, drawn = axes.get_position(), axes.get_tightbbox(for_layout_only=True)
        over = inner.get_points() - drawn.transformed(in_figure).get_points()  # type: ignore[union-attr]
        (x0, y0), (x1, y1) = cell.padded(-pad[0], -pad[1]).get_points() + over
        x0, y0 = max(wanted.x0, x0), max(wanted.y0, y0)
        x1, y1 = max(min(wanted.x1, x1), x0 + _LEAST), max(min(wanted.y1, y1), y0 + _LEAST)
        axes.set_position(Bbox.from_extents(x0, y0, x1, y1))
        axes.set_in_layout(True)  # setting a position takes them out
    axes.apply_aspect()
    title, allowed = axes.title, cell.transformed(figure.transSubfigure)
    written = title.get_window_extent()
    outside = max(allowed.x0 - written.x0, 0.0) - max(written.x1 - allowed.x1, 0.0)
    title.set_x(title.get_position()[0] + outside / axes.get_window_extent().width)


def lay_out_whole(figure: Any) -> None:
    """Lay out all of a figure now, or the figure of a part of one; without a layout engine as a constrained one."""
    engine = _engine(figure) or ConstrainedLayoutEngine()
    for _ in range(_PASSES):
        engine.execute(figure.figure)


def _engine(figure: Any) -> Any:
    """The layout engine that places everything in a figure or a part of one; None if there is none."""
    engine = figure.get_layout_engine()
    # A tight layout leaves parts of figures as they are.
    idle = PlaceHolderLayoutEngine if figure is figure.figure else (PlaceHolderLayoutEngine, TightLayoutEngine)
    return None if isinstance(engine, idle) else engine


def _cell(spec: SubplotSpec | None, figure: Any) -> Bbox:
    """The cell of a grid, up to the middle of the gaps around it; the whole figure without a grid."""
    if spec is None:
        return Bbox.unit()
    outermost = spec.get_topmost_subplotspec()
    around = _cell(None if outermost is spec else outermost, figure)
    bottoms, tops, lefts, rights = spec.get_gridspec().get_grid_positions(figure)
    rows, columns = spec.rowspan, spec.colspan
    return Bbox.from_extents(
        around.x0 if columns.start == 0 else (rights[columns.start - 1] + lefts[columns.start]) / 2,
        around.y0 if rows.stop == len(tops) else (bottoms[rows.stop - 1] + tops[rows.stop]) / 2,
        around.x1 if columns.stop == len(lefts) else (rights[columns.stop - 1] + lefts[columns.stop]) / 2,
        around.y1 if rows.start == 0 else (bottoms[rows.start - 1] + tops[rows.start]) / 2,
    )


def set_title(axes: Axes, title: str | None, *, above: float = 6.0) -> None:
    """Set a title `above` points over the axes, in lines that fit their part of the figure; None sets none."""
    text = axes.set_title(title or "", pad=above)
    points = max(float(text.get_fontsize()), LEAST_POINTS)
    text.set(fontsize=points, text=in_lines(text.get_text(), cell_size(axes)[0] - 2 * _PAD, points, anywhere=True))


def warn_of_space(missing: Sequence[str], wanted: float, figure: Any) -> None:
    """Say in one warning what a figure has no room for, and from which width on it has.

    Args:
        missing: What is left out or lies over something else, such as "the names of the runs"; without any nothing
            is said.
        wanted: The width in inches of a figure, or part of one, that would do.
        figure: The figure.
    """
    if missing:
        warn_user(
            f"a figure of {figure.get_figwidth():.2g} inches has no room for {' and '.join(missing)}: "
            f"give it figsize=({math.ceil(wanted * 10) / 10:g}, ...), or larger axes"
        )


def cell_size(axes: Axes) -> Any:
    """An array of the width and height in inches of the part of the figure that is the axes' own."""
    return _cell(axes.get_subplotspec(), axes.figure).size / _per_inch(axes.figure)


def own_size(axes: Axes) -> Any:
    """An array of the width and height in inches of the axes themselves, without what stands around them."""
    return np.divide(axes.get_window_extent().size, axes.figure.dpi)


def _per_inch(figure: Any) -> Any:
    """How much of the figure's width and height an inch is."""
    return figure.dpi / figure.bbox.size
