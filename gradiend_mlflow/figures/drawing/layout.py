"""Space around axes: what a figure draws beside its axes stays within the part of the figure that is theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import PlaceHolderLayoutEngine, TightLayoutEngine
from matplotlib.transforms import Affine2D, Bbox

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, in_lines
from gradiend_mlflow.figures.drawing.text import warn_user

_PASSES = 3  # labels take up another amount of space when the axes have another size
EDGE = 0.04  # inches to the edge
_LEAST = 0.05  # of the figure: the size of axes whose labels take everything


def lay_out(axes: Axes) -> None:
    """Lay out the figure of `axes` now, so that nothing of them is cut or overlaps a neighbor.

    A layout engine does so, if the figure has one. Without one, axes that need more than their part of the figure
    shrink: those in a grid have their cell up to the middle of the gaps around it, others have the whole figure.
    """
    figure: Any = axes.figure
    cell, in_figure = _cell(axes.get_subplotspec(), figure), figure.transSubfigure.inverted()
    wanted, pad = axes.get_position(original=True), EDGE * _per_inch(figure)
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
    if engine is None and isinstance(figure.figure.get_layout_engine(), TightLayoutEngine):
        # It moves axes of parts of the figure too, whose size it takes for that of the whole.
        axes.set_axes_locator(_Fixed(axes.get_position(original=True), axes))
    axes.apply_aspect()
    title, allowed = axes.title, cell.transformed(figure.transSubfigure)
    written = title.get_window_extent()
    outside = max(allowed.x0 - written.x0, 0.0) - max(written.x1 - allowed.x1, 0.0)
    title.set_x(title.get_position()[0] + outside / axes.get_window_extent().width)


@dataclass(frozen=True)
class _Fixed:
    """Axes' box in shares of their part of the figure, whatever a layout engine says: a locator of matplotlib."""

    box: Bbox
    axes: Axes

    def get_subplotspec(self) -> SubplotSpec | None:
        """As `Square`'s."""
        return self.axes.get_subplotspec()

    def __call__(self, axes: Any, renderer: Any) -> Bbox:  # noqa: ARG002  # matplotlib passes it
        """The box."""
        return self.box


@dataclass(frozen=True)
class Margins:
    """Inches that are kept free around axes, for what stands there."""

    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True)
class Square:
    """Where square axes lie, in the middle of their part of the figure with their margins: a locator of matplotlib.

    It is asked whenever the figure is drawn, so axes stay in their place when a layout engine, or the caller, moves
    their part of the figure.
    """

    margins: Margins
    axes: Axes

    def get_subplotspec(self) -> SubplotSpec | None:
        """For tight layouts, which ask a locator instead of its axes where these stand in a grid."""
        return self.axes.get_subplotspec()

    def __call__(self, axes: Any, renderer: Any) -> Bbox:  # noqa: ARG002  # matplotlib passes it
        """The axes' box in shares of the figure."""
        part, margins = room_of(axes), self.margins
        within = Bbox.from_extents(
            part.x0 + margins.left, part.y0 + margins.bottom, part.x1 - margins.right, part.y1 - margins.top
        )
        if axes.get_subplotspec() is None:  # at a place of their own, beyond which they do not grow
            own = axes.get_position(original=True).transformed(Affine2D().scale(*(1 / _per_inch(axes.figure))))
            within = Bbox.intersection(within, own) or own
        side = max(min(within.width, within.height), 0.01)
        middle = Bbox.from_bounds(
            within.x0 + (within.width - side) / 2, within.y0 + (within.height - side) / 2, side, side
        )
        return middle.transformed(Affine2D().scale(*_per_inch(axes.figure)))


class _Span(Artist):
    """All of the axes' part of the figure, for layout engines: nothing that has to be given more space, nor less."""

    def get_window_extent(self, renderer: Any = None) -> Bbox:  # noqa: ARG002  # matplotlib passes it
        """The part, in dots."""
        axes: Any = self.axes
        inches = Affine2D().scale(*_per_inch(axes.figure)) + axes.figure.transSubfigure
        return room_of(axes).transformed(inches)

    get_tightbbox = get_window_extent

    def draw(self, renderer: Any) -> None:
        """Draw nothing."""


def place(axes: Axes, margins: Margins) -> None:
    """Make axes square, within their part of the figure and with these margins, from now on."""
    axes.set_axes_locator(Square(margins, axes))


def prepared_room(axes: Axes) -> Bbox:
    """Empty axes' part of the figure in inches, after it was laid out for the last time because of them."""
    axes.set(xticks=[], yticks=[])
    place(axes, Margins())
    if axes.get_subplotspec() is not None:
        axes.add_artist(_Span()).set_clip_on(False)
    engine = _engine(axes.figure)
    if engine is not None:
        for _ in range(_PASSES):
            engine.execute(axes.figure.figure)
    return room_of(axes)


def most_of(axes: Axes) -> float | None:
    """The longest side in inches that axes at a place of their own may have; None in a grid."""
    if axes.get_subplotspec() is not None:
        return None
    own = axes.get_position(original=True).size / _per_inch(axes.figure)
    return float(min(own))


def room_of(axes: Axes) -> Bbox:
    """The axes' part of the figure in inches: what a layout engine gives them, else their cell of a grid, or all."""
    figure: Any = axes.figure
    inches = Affine2D().scale(*(1 / _per_inch(figure)))
    if axes.get_subplotspec() is not None and _engine(figure) is not None:
        return axes.get_position(original=True).transformed(inches)
    return _cell(axes.get_subplotspec(), figure).transformed(inches).padded(-EDGE)


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
    text.set(fontsize=points, text=in_lines(text.get_text(), cell_size(axes)[0] - 2 * EDGE, points, anywhere=True))


def write_title(axes: Axes, title: str, *, above: float, fontsize: float) -> None:
    """Write lines that are already broken `above` inches over placed axes, moved to lie within their part."""
    text = axes.set_title(title, fontsize=fontsize, pad=72 * above, va="bottom")
    if not title:
        return
    axes.apply_aspect(axes.get_axes_locator()(axes, None))  # type: ignore[arg-type]
    part = room_of(axes).transformed(Affine2D().scale(*_per_inch(axes.figure)) + axes.figure.transSubfigure)
    written, cells = text.get_window_extent(), axes.get_window_extent()
    outside = max(part.x0 - written.x0, 0.0) - max(written.x1 - part.x1, 0.0)
    text.set_x(text.get_position()[0] + outside / cells.width)


def warn_of_space(missing: Sequence[str], wanted: float, given: float) -> None:
    """Say in one warning what a figure has no room for, and from which width on it has.

    Args:
        missing: What is left out or cannot be read, such as "the names of the runs"; without any nothing is said.
        wanted: The width in inches that would do.
        given: The width in inches of the figure, or of the part of one that the axes have.
    """
    if missing:
        warn_user(
            f"{given:.2g} inches have no room for {' and '.join(missing)}: "
            f"{math.ceil(wanted * 10) / 10:g} inches have (figsize=, or larger axes)"
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
