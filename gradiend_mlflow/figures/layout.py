"""Room around axes: what a figure draws beside its axes stays within the part of the figure that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradiend_mlflow.figures.text import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpec, SubplotSpec
    from matplotlib.transforms import Bbox

_PASSES = 3  # labels take other room when the axes have another size
_PAD = 0.04  # inches to the edge
_LEAST = 0.05  # of the figure: what is left of axes whose labels take everything
_POINTS_PER_LETTER = 0.6  # of the font's size


def lay_out(axes: Axes) -> None:
    """Lay out the figure of axes now, so that nothing of them is cut or runs into a neighbor.

    A figure with a layout engine does so itself. In one without, axes that take more than their part shrink: a cell
    of a grid reaches to the middle between it and its neighbors, other axes to the figure's edges.
    """
    figure: Any = axes.figure
    if _laid_out(figure):
        return
    pad = _PAD / (figure.bbox.size / figure.dpi)
    slot = _slot(axes).padded(-pad[0], -pad[1])
    wanted = axes.get_position(original=True)
    for _ in range(_PASSES):
        axes.apply_aspect()
        inner = axes.get_position()
        drawn: Any = axes.get_tightbbox(for_layout_only=True)
        outer = drawn.transformed(figure.transSubfigure.inverted())
        x0 = max(wanted.x0, slot.x0 + inner.x0 - outer.x0)
        y0 = max(wanted.y0, slot.y0 + inner.y0 - outer.y0)
        x1 = max(min(wanted.x1, slot.x1 + inner.x1 - outer.x1), x0 + _LEAST)
        y1 = max(min(wanted.y1, slot.y1 + inner.y1 - outer.y1), y0 + _LEAST)
        axes.set_position((x0, y0, x1 - x0, y1 - y0))
        axes.set_in_layout(True)  # which setting a position ends


def lay_out_grid(figure: Any, grid: GridSpec) -> None:
    """The same for all axes of a grid that a figure, or a part of one, is filled with."""
    from matplotlib.transforms import Bbox

    if _laid_out(figure):
        return
    pad, title = 2 * _PAD / (figure.bbox.size / figure.dpi), figure._suptitle  # noqa: SLF001  # no public way to it
    placed = [axes for axes in figure.axes if (spec := axes.get_subplotspec()) and spec.get_gridspec() is grid]
    for _ in range(_PASSES):
        inner = Bbox.union([axes.get_position() for axes in placed])
        drawn = Bbox.union([axes.get_tightbbox(for_layout_only=True) for axes in placed])
        outer = drawn.transformed(figure.transSubfigure.inverted())
        top = 1.0
        if title is not None:
            top = title.get_window_extent().transformed(figure.transSubfigure.inverted()).y0
        left, bottom = inner.x0 - outer.x0 + pad[0], inner.y0 - outer.y0 + pad[1]
        right, top = 1 - (outer.x1 - inner.x1) - pad[0], top - (outer.y1 - inner.y1) - pad[1]
        grid.update(left=left, bottom=bottom, right=max(right, left + _LEAST), top=max(top, bottom + _LEAST))
        for axes in placed:  # a grid moves axes of pyplot's figures only
            axes.set_position(axes.get_subplotspec().get_position(figure))
            axes.set_in_layout(True)  # which setting a position ends


def _laid_out(figure: Any) -> bool:
    """Whether a layout engine has placed everything, now too."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine, TightLayoutEngine

    engine = figure.get_layout_engine()
    # A tight layout leaves parts of figures as they are.
    idle = PlaceHolderLayoutEngine if figure is figure.figure else (PlaceHolderLayoutEngine, TightLayoutEngine)
    if engine is None or isinstance(engine, idle):
        return False
    for _ in range(_PASSES - 1):  # drawing makes the last
        engine.execute(figure.figure)  # of a part of a figure too
    return True


def _slot(axes: Axes) -> Bbox:
    from matplotlib.transforms import Bbox

    spec = axes.get_subplotspec()
    return Bbox.unit() if spec is None else _cell(spec, axes.figure)


def _cell(spec: SubplotSpec, figure: Any) -> Bbox:
    from matplotlib.transforms import Bbox

    outermost = spec.get_topmost_subplotspec()
    around = Bbox.unit() if outermost is spec else _cell(outermost, figure)
    bottoms, tops, lefts, rights = spec.get_gridspec().get_grid_positions(figure)
    rows, columns = spec.rowspan, spec.colspan
    return Bbox.from_extents(
        around.x0 if columns.start == 0 else (rights[columns.start - 1] + lefts[columns.start]) / 2,
        around.y0 if rows.stop == len(tops) else (bottoms[rows.stop - 1] + tops[rows.stop]) / 2,
        around.x1 if columns.stop == len(lefts) else (rights[columns.stop - 1] + lefts[columns.stop]) / 2,
        around.y1 if rows.start == 0 else (bottoms[rows.start - 1] + tops[rows.start]) / 2,
    )


def set_title(axes: Axes, title: str, *, above: float = 6.0) -> None:
    """A title so many points above the axes, in lines that fit their part of the figure."""
    letters = int(72 * slot_size(axes)[0] / (_POINTS_PER_LETTER * 12))
    axes.set_title("\n".join(wrapped(line, max(letters, 12)) for line in title.split("\n")), pad=above)


def keep_title_inside(axes: Axes) -> None:
    """Move a title that is wider than its axes away from the edge that would cut it; after the layout is made."""
    figure: Any = axes.figure
    title, slot = axes.title, _slot(axes).transformed(figure.transSubfigure)
    written = title.get_window_extent()
    over = max(slot.x0 - written.x0, 0.0) - max(written.x1 - slot.x1, 0.0)
    title.set_x(title.get_position()[0] + over / axes.get_window_extent().width)


def slot_size(axes: Axes) -> tuple[float, float]:
    """The width and height in inches of the part of the figure that axes have."""
    figure: Any = axes.figure
    slot, whole = _slot(axes), figure.bbox.size / figure.dpi
    return slot.width * whole[0], slot.height * whole[1]


def own_size(axes: Axes) -> tuple[float, float]:
    """The width and height in inches of the axes themselves, without what stands around them."""
    figure: Any = axes.figure
    width, height = axes.get_window_extent().size / figure.dpi
    return width, height
