"""Space around axes: what a figure draws beside its axes stays within the part of the figure that is theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gradiend_mlflow.figures.text import wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpec, SubplotSpec
    from matplotlib.transforms import Bbox

_PASSES = 3  # labels take up another amount of space when the axes have another size
_PAD = 0.04  # inches to the edge
_LEAST = 0.05  # of the figure: the size of axes whose labels take everything
_POINTS_PER_LETTER = 0.6  # of the font's size


def lay_out(axes: Axes) -> None:
    """Lay out the figure of `axes` now, so that nothing of them is cut or overlaps a neighbor.

    A layout engine does so, if the figure has one. Without one, axes that need more than their part of the figure
    shrink: those in a grid have their cell up to the middle of the gaps around it, others have the whole figure.
    """
    figure: Any = axes.figure
    if not _run_engine(figure):
        wanted, pad = axes.get_position(original=True), _PAD * _per_inch(figure)
        _shrink([axes], wanted, _cell(axes.get_subplotspec(), figure).padded(-pad[0], -pad[1]), axes.set_position)
    title, cell = axes.title, _cell(axes.get_subplotspec(), figure).transformed(figure.transSubfigure)
    written = title.get_window_extent()
    over = max(cell.x0 - written.x0, 0.0) - max(written.x1 - cell.x1, 0.0)
    title.set_x(title.get_position()[0] + over / axes.get_window_extent().width)


def lay_out_grid(grid: GridSpec, placed: Sequence[Axes]) -> None:
    """The same for the axes placed in a grid that fills a figure or a part of one."""
    from matplotlib.transforms import Bbox

    figure: Any = placed[0].figure
    if _run_engine(figure):
        return
    title, pad = figure._suptitle, 2 * _PAD * _per_inch(figure)  # noqa: SLF001  # no public way to it
    top = title.get_window_extent().transformed(figure.transSubfigure.inverted()).y0 if title else 1.0

    def place(box: Bbox) -> None:
        grid.update(left=box.x0, bottom=box.y0, right=box.x1, top=box.y1)
        for axes in placed:  # a grid itself moves only the axes of pyplot's figures
            axes.set_position(axes.get_subplotspec().get_position(figure))  # type: ignore[union-attr]

    _shrink(placed, Bbox.unit(), Bbox.from_extents(pad[0], pad[1], 1 - pad[0], top - pad[1]), place)


def _shrink(placed: Sequence[Axes], wanted: Bbox, cell: Bbox, place: Callable[[Bbox], None]) -> None:
    """Give axes the place that they want, as far as all that belongs to them stays in their cell."""
    from matplotlib.transforms import Bbox

    figure: Any = placed[0].figure
    for _ in range(_PASSES):
        for axes in placed:
            axes.apply_aspect()
        inner = Bbox.union([axes.get_position() for axes in placed])
        drawn = Bbox.union([axes.get_tightbbox(for_layout_only=True) for axes in placed])  # type: ignore[misc]
        outer = drawn.transformed(figure.transSubfigure.inverted())
        x0 = max(wanted.x0, cell.x0 + inner.x0 - outer.x0)
        y0 = max(wanted.y0, cell.y0 + inner.y0 - outer.y0)
        x1 = max(min(wanted.x1, cell.x1 + inner.x1 - outer.x1), x0 + _LEAST)
        y1 = max(min(wanted.y1, cell.y1 + inner.y1 - outer.y1), y0 + _LEAST)
        place(Bbox.from_extents(x0, y0, x1, y1))
        for axes in placed:
            axes.set_in_layout(True)  # setting a position takes them out


def _run_engine(figure: Any) -> bool:
    """Run the figure's layout engine, if it has one that places everything; returns whether it has."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine, TightLayoutEngine

    engine = figure.get_layout_engine()
    # A tight layout leaves parts of figures as they are.
    idle = PlaceHolderLayoutEngine if figure is figure.figure else (PlaceHolderLayoutEngine, TightLayoutEngine)
    if engine is None or isinstance(engine, idle):
        return False
    for _ in range(_PASSES - 1):  # drawing makes the last
        engine.execute(figure.figure)
    return True


def _cell(spec: SubplotSpec | None, figure: Any) -> Bbox:
    """The cell of a grid, up to the middle of the gaps around it; the whole figure without a grid."""
    from matplotlib.transforms import Bbox

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
    letters = int(72 * cell_size(axes)[0] / (_POINTS_PER_LETTER * 12))
    axes.set_title("\n".join(wrapped(line, max(letters, 12)) for line in (title or "").split("\n")), pad=above)


def cell_size(axes: Axes) -> tuple[float, float]:
    """The width and height in inches of the part of the figure that is the axes' own."""
    figure: Any = axes.figure
    width, height = _cell(axes.get_subplotspec(), figure).size / _per_inch(figure)
    return width, height


def own_size(axes: Axes) -> tuple[float, float]:
    """The width and height in inches of the axes themselves, without what stands around them."""
    figure: Any = axes.figure
    width, height = axes.get_window_extent().size / figure.dpi
    return width, height


def _per_inch(figure: Any) -> Any:
    """How much of the figure's width and height an inch is."""
    return figure.dpi / figure.bbox.size
