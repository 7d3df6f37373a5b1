"""The overlap as k grows, as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from gradiend_mlflow.checks import check_choice, check_int
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, own_size, warn_of_space
from gradiend_mlflow.figures.drawing.names import in_lines, measured
from gradiend_mlflow.figures.drawing.page import PAD, Page
from gradiend_mlflow.figures.lines import draw_lines, name_at_ends, name_below
from gradiend_mlflow.figures.plans.curves import Content, Frame, panels_of
from gradiend_mlflow.figures.plans.line_names import Naming, stacked
from gradiend_mlflow.overlap.curve import CurveValue, OverlapCurve
from gradiend_mlflow.overlap.overlap import Overlap

_USUAL = 6.0  # inches
_SPARE = 0.05  # of the width of names
_DECADE = 10  # from which factor on k has a logarithmic scale
_PASSES = 3  # the axes are known only once their names are placed


def plot_curve(
    curve: OverlapCurve | Overlap,
    ax: Axes | None = None,
    *,
    fig: FigureBase | None = None,
    value: CurveValue = "intersection_frac",
    groups: Mapping[str, Any] | None = None,
    highlight: Sequence[tuple[str, str]] | None = None,
    k: int | None = None,
    facet: Literal["group"] | None = None,
    control: Sequence[str] | None = None,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> Axes | FigureBase:
    """Draw how the overlap of every pair grows with k, beside what chance would give.

    Args:
        curve: The result of `overlap_curve`, or an overlap, whose curve is drawn.
        ax: Axes to draw on.
        fig: A figure or part of one (SubFigure) to fill instead; it keeps its size. Default a new one, which is
            unknown to pyplot.
        value: "intersection_frac", "intersection" (a count) or "jaccard".
        groups: A mapping from label to group or from group to labels. Pairs have the color of their groups, and the
            lines with names are the medians of the pairs within each group and between each two groups; of more than
            7 of these together.
        highlight: Pairs of labels that are drawn with their names, such as [("a", "b")].
        k: Where a vertical line is drawn; pairs are the lowest or highest there, else at the largest k.
        facet: "group" draws a panel for the pairs within each group of at least two runs.
        control: Labels of runs to compare with, which have a panel of their own, "control".
        title: A title above.
        figsize: The size of a new figure: "column", "text", or width and height in inches.
        output_path: One or several files to save to: .png, .pdf, .svg.
        show: Whether to open a window.

    Returns:
        `ax` if it is given, else the figure. k has a logarithmic scale if it spans a factor of ten. Up to 6 pairs have
        a name each, and pairs with the same curve take turns along it. Of more pairs, without groups, the median and
        the middle half are drawn, over thin lines of at most 400, and the highest and the lowest pair have names. The
        thin dashed line is what chance would give, averaged over pairs. Names stand at the ends of the lines, else in
        a legend below; as numbers with a key below if they are too long for either. If the sets differ in size, the
        label below says at which of them the curve ends.

    Raises:
        InvalidInputError: If `curve` is not a curve or has fewer than two runs, or another argument is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> (axes,) = plot_curve(compute_overlap(sets).overlap_curve([1, 3])).axes
        >>> axes.lines[0].get_ydata().round(1).tolist(), axes.texts[0].get_text()
        ([100.0, 66.7], 'a & b')
    """
    check_arguments(curve, (OverlapCurve, Overlap), title, ax=ax, fig=fig)
    check_choice("value", value, get_args(CurveValue))
    if facet is not None:
        check_choice("facet", facet, ("group",))
    if ax is not None and (fig is not None or facet is not None):
        raise InvalidInputError("ax is one panel of another figure: give either ax or fig, and for facet= none or fig")
    sheet = Sheet.checked(ax or fig, figsize=figsize, output_path=output_path, show=show)
    found = curve.overlap_curve() if isinstance(curve, Overlap) else curve
    if len(found.labels) < 2:  # noqa: PLR2004
        raise InvalidInputError("a curve needs at least two runs, because it shows how far pairs agree")
    mark = None if k is None else check_int("k", k, least=1)
    panels = panels_of(found, value, mark, groups=groups, highlight=highlight, facet=facet, control=control)
    content = Content(found, value, mark, panels, title or "")
    if ax is not None:
        _draw_panels(content, [ax])
        return sheet.finished(ax)
    if fig is None:
        fig = sheet.figure(lambda width: content.frame(width).height, usual=_USUAL, layout="none")
    _draw_panels(content, _axes_on(Page.of(fig, "plot_curve"), content))
    return sheet.finished(fig)


def _axes_on(page: Page, content: Content) -> list[Axes]:
    """The axes of all panels in a grid, with room for a title above and a key below if there are several."""
    n = len(content.panels)
    if n == 1:
        return [page.figure.add_subplot(page.figure.add_gridspec(1, 1, left=0, right=1, bottom=0, top=1)[0])]
    frame = content.frame(page.width, page.height)
    points, naming, rows = frame.points("figure.titlesize"), frame.naming, -(-n // frame.columns)
    below = naming.below + 2 * PAD
    heights = (max(frame.above, 1e-3), max(page.height - frame.above - below, 0.1), below)
    outer = page.figure.add_gridspec(3, 1, height_ratios=heights, hspace=0, left=0, right=1, bottom=0, top=1)
    widths = [frame.panel + frame.left, *[frame.panel] * (frame.columns - 1)]
    inner = outer[1].subgridspec(rows, frame.columns, hspace=0, wspace=0, width_ratios=widths)
    page.title(in_lines(content.title, page.width - 2 * PAD, points, anywhere=True), points)
    page.text(PAD, page.height - PAD, naming.key, naming.points, va="bottom")
    return [page.figure.add_subplot(inner[divmod(index, frame.columns)]) for index in range(n)]


def _draw_panels(content: Content, axes: list[Axes]) -> None:
    figure: Any = axes[0].figure
    width, height = (cell_size(axes[0]) if len(axes) == 1 else figure.bbox.size / figure.dpi).tolist()
    frame = content.frame(width, height)
    lines = [draw_lines(one, content.curve.ks, panel) for one, panel in zip(axes, content.panels, strict=True)]
    for index, one in enumerate(axes):
        _draw_frame(one, content, frame, index)
    drawn: list[Artist] = []
    for _ in range(_PASSES):
        for artist in drawn:
            artist.remove()
        for index, one in enumerate(axes):
            _label(one, content, frame, index)
        drawn = _named(axes, lines, frame)
        wanted = max(stacked(texts, frame.naming.points) for texts in frame.naming.texts)
        lack = max(frame.axes[1] - own_size(axes[0])[1], 0.0)
        if frame.naming.place == "below" or wanted <= frame.axes[1] - lack:
            break
        frame = content.frame(width, height, lost=lack)
    if not frame.fit:
        warn_of_space(["the names of the lines"], content.enough(width, height), width)


def _named(axes: list[Axes], lines: Sequence[Sequence[Line2D]], frame: Frame) -> list[Artist]:
    """Name the lines of all panels and lay them out; returns what was added."""
    naming = frame.naming

    def at_ends() -> list[Artist]:
        return [
            artist
            for one, own, texts in zip(axes, lines, naming.texts, strict=True)
            for artist in name_at_ends(one, own, texts, naming.points)
        ]

    below = name_below(axes[0], lines[0], naming, _below(axes[0]) + PAD) if len(axes) == 1 else []
    ends = at_ends() if naming.place == "end" else []
    for one in axes:
        lay_out(one)
    _align(axes, frame.columns, frame.naming)
    for artist in ends:
        artist.remove()
    # Names are apart only once the axes have their size.
    return [*below, *(at_ends() if ends else [])]


def _below(axes: Axes) -> float:
    """The height in inches of ticks and label below the axes."""
    axis = axes.xaxis.get_tightbbox()
    return (axes.get_window_extent().y0 - axis.y0) / axes.figure.dpi if axis else 0.0


def _align(axes: list[Axes], columns: int, naming: Naming) -> None:
    """Give panels the same size, and those of a row the same place; the names beside them keep some room.

    A figure without a layout engine is laid out once, and letters are a little wider at other resolutions.
    """
    engine = axes[0].figure.get_layout_engine()
    if engine is not None and not isinstance(engine, PlaceHolderLayoutEngine):
        return
    boxes = np.array([one.get_position().extents for one in axes])
    spare = _SPARE * naming.beside / (axes[0].figure.bbox.width / axes[0].figure.dpi)
    width = (boxes[:, 2] - boxes[:, 0]).min() - spare
    rows = [range(start, min(start + columns, len(axes))) for start in range(0, len(axes), columns)]
    tops = [boxes[row, 3].min() for row in rows]
    height = min(top - boxes[row, 1].max() for top, row in zip(tops, rows, strict=True))
    for top, row in zip(tops, rows, strict=True):
        for index in row:
            axes[index].set_position((boxes[index, 0], top - height, width, height))


def _draw_frame(axes: Axes, content: Content, frame: Frame, index: int) -> None:
    """What does not depend on the axes' size."""
    axes.set(axisbelow=True, ylim=(0, content.top))
    if content.curve.ks[-1] >= _DECADE * content.curve.ks[0]:
        axes.set_xscale("log")
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=shade(axes.figure, 0.08))
    axes.grid(visible=False, axis="x")
    if content.k is not None:
        axes.axvline(content.k, color=shade(axes.figure, 0.5), linewidth=0.8, zorder=1.5)
        if index == 0:
            _name_k(axes, content.k, frame.points("xtick.labelsize"))


def _label(axes: Axes, content: Content, frame: Frame, index: int) -> None:
    """Ticks, title and what the axes are."""
    axes.xaxis.set_tick_params(labelsize=frame.points("xtick.labelsize"))
    axes.yaxis.set_tick_params(labelsize=frame.points("ytick.labelsize"))
    _set_ticks(axes, content.curve.ks, max(frame.axes[0], 0.3), frame.points("xtick.labelsize"))
    points = frame.points("axes.labelsize")
    axes.set_xlabel(frame.xlabel if index + frame.columns >= len(content.panels) else "", fontsize=points)
    axes.set_ylabel("" if index % frame.columns else frame.ylabel, fontsize=points)
    axes.tick_params(labelleft=index % frame.columns == 0)
    marked = content.k is not None and index < frame.columns  # titles of a row stand at one height
    above = 75 * measured("k", frame.points("xtick.labelsize"))[1] * marked + 5
    points, title = frame.points("axes.titlesize"), content.panels[index].title if content.several else content.title
    axes.set_title(in_lines(title, frame.panel - PAD, points, anywhere=True), fontsize=points, pad=above)


def _name_k(axes: Axes, k: int, points: float) -> None:
    """Write k over its line, on that side of it where there is more room."""
    share = axes.transAxes.inverted().transform(axes.transData.transform((k, 0)))[0]
    side: Any = {"ha": "right" if share > 0.6 else "left" if share < 0.4 else "center", "va": "bottom"}  # noqa: PLR2004
    place: Any = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
    axes.annotate(f"k = {k:,}", (k, 1), (0, 1), fontsize=points, **place, **side)


def _set_ticks(axes: Axes, ks: npt.NDArray[np.int64], room: float, points: float) -> None:
    """As many ticks of k as have room, at powers of ten on a logarithmic axis."""
    if axes.get_xscale() != "log":
        axes.xaxis.set_major_formatter("{x:,.0f}")
        return
    powers = 10 ** np.arange(np.ceil(np.log10(ks[0])), np.log10(ks[-1]) + 1e-9)
    ticks = powers if len(powers) > 1 else np.array([ks[0], ks[-1]], dtype=float)
    each = measured(f"{ticks[-1]:,.0f}", points)[0] + PAD
    every = max(int(np.ceil(len(ticks) * each / room)), 1)
    axes.set_xticks(ticks[::every], [f"{tick:,.0f}" for tick in ticks[::every]])
    axes.xaxis.set_minor_formatter(NullFormatter())
