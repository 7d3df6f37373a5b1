"""The regions of any number of sets as an UpSet plot (Lex et al. 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments, shade
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, measured, points_of
from gradiend_mlflow.figures.drawing.page import PAD, Page, small_points
from gradiend_mlflow.figures.drawing.text import warn_user
from gradiend_mlflow.figures.plans.combinations import NAMED_UP_TO
from gradiend_mlflow.figures.plans.upset import Plan, Wish, planned, usual_width
from gradiend_mlflow.overlap.overlap import Overlap

_INK, _REST, _STRIPE = 0.85, 0.35, 0.05  # how much of the color of text is in them
_CUT = 1.15  # times the highest bar: how high the bar of the rest may be


def plot_upset(
    overlap: Overlap,
    fig: FigureBase | None = None,
    *,
    max_regions: int | None = None,
    min_sets: int | None = None,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> FigureBase:
    """Draw which weights any number of sets share: a bar per combination of sets, the largest first.

    A weight counts in one bar, that of exactly the sets that hold it, which the dots below name. The bars on the left
    are the sets' sizes; if all have the same size, a line below says it instead.

    Args:
        overlap: The overlap of any number of sets.
        fig: A figure or part of one (SubFigure) to fill; it keeps its size. Default a new one, which is unknown to
            pyplot.
        max_regions: The largest number of combinations with a bar of their own; default up to 20, as many as fit. The
            weights of the others are summed in a last, lighter bar, which is hatched and cut off if it would be higher
            than the others. Fewer have a bar if the sets in them would be more than the 60 that can be named.
        min_sets: Leave out weights that fewer sets hold; 2 shows shared weights only. Default 1 if every combination
            has a bar, else 2 if any weights are shared, because the weights of single sets would take all the bars.
        title: A title above the figure.
        figsize: The size of a new figure: "column", "text", or width and height in inches; default what it needs.
        output_path: One or several files to save to: .png, .pdf, .svg.
        show: Whether to open a window.

    Returns:
        The figure. Sets in none of the combinations shown have no row; a footnote says how many they are, and how
        many weights the default of 2 leaves out. A figure that is too low for all rows' names has fewer combinations,
        or names every second, third, ... row; more than 60 sets have no names. The footnote says it, and a warning
        says which size would do if nothing that is written has room.

    Raises:
        InvalidInputError: If `max_regions` is not at least 1, no weight is in `min_sets` sets, `fig` has axes already,
            or another argument is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> bars = plot_upset(compute_overlap(sets)).axes[1]
        >>> [text.get_text() for text in bars.texts]
        ['2', '1', '1']
    """
    check_arguments(overlap, (Overlap,), title, fig=fig)
    check_int("max_regions", 1 if max_regions is None else max_regions, least=1)
    check_int("min_sets", 1 if min_sets is None else min_sets, least=1)
    sheet = Sheet.checked(fig, figsize=figsize, output_path=output_path, show=show)
    wish = Wish(overlap, max_regions, min_sets, title or "")
    if fig is None:
        fig = sheet.figure(lambda width: planned(wish, width).height, usual=usual_width(wish), layout="none")
    page = Page.of(fig, "plot_upset")
    plan = planned(wish, page.width, page.height)
    _draw(page, plan)
    if plan.lacks:
        warn_user(f"plot_upset: {plan.lacks}")
    return sheet.finished(fig)


def _draw(page: Page, plan: Plan) -> None:
    (n, columns), (top, height), points = plan.shown.matrix.shape, plan.bars, small_points()
    width, rows = plan.column * columns, n * plan.row
    _draw_dots(page.axes(plan.left, top + height, width, rows), plan)
    _draw_bars(page.axes(plan.left, top, width, height), plan)
    if plan.sizes:
        _draw_sizes(page.axes(PAD, top + height, plan.sizes, rows), plan)
        below = top + height + rows + PAD
        page.text(PAD + plan.sizes, below, plan.shown.sizes_heading, points, ha="right", multialignment="right")
    heading: Any = {
        "rotation": 90,
        "ha": "right",
        "va": "bottom",
        "multialignment": "left",
        "rotation_mode": "default",
    }
    page.text(plan.left - PAD, top + height - plan.beside[1], plan.beside[0], points, **heading)
    page.title(plan.title, points_of("axes.titlesize"))
    page.text(PAD, page.height - PAD, plan.footer, points, va="bottom")


def _draw_dots(axes: Axes, plan: Plan) -> None:
    """A row per set, a column per combination, and a line through the dots of each."""
    matrix, ink = plan.shown.matrix, shade(axes.figure, _INK)
    n, columns = matrix.shape
    axes.set(xlim=(0, columns), ylim=(n, 0))
    for row in range(0, n if n <= NAMED_UP_TO else 0, 2):
        axes.axhspan(row, row + 1, color=shade(axes.figure, _STRIPE), linewidth=0, zorder=0)
    diameter = 72 * min(0.6 * plan.row, 0.6 * plan.column, 0.09)
    ys, xs = np.nonzero(matrix)
    axes.scatter(xs + 0.5, ys + 0.5, s=diameter**2, color=ink, linewidths=0, zorder=2)
    for column, held in enumerate(matrix.T):
        rows = np.flatnonzero(held)
        if len(rows) > 1:
            axes.vlines(column + 0.5, *(rows[[0, -1]] + 0.5), color=ink, linewidth=min(diameter / 3, 1.5))
    if plan.names is not None:
        axes.set_yticks(np.arange(0, n, plan.every) + 0.5, plan.names.texts, fontsize=plan.names.points)
        axes.tick_params(length=0, pad=72 * PAD)


def _draw_bars(axes: Axes, plan: Plan) -> None:
    """A bar per combination, with its number; that of the rest is cut if it is much higher than the others."""
    shown, (points, upright) = plan.shown, plan.counts or (0.0, False)
    columns, own = len(shown.counts), len(shown.counts) - shown.rest
    heights = [min(count, _CUT * shown.highest) for count in shown.counts]
    bars = axes.bar(np.arange(columns) + 0.5, heights, width=min(0.7, 0.3 / plan.column), linewidth=0)
    for index, bar in enumerate(bars):
        bar.set_facecolor(shade(axes.figure, _INK if index < own else _REST))
        if heights[index] < shown.counts[index]:
            bar.set(hatch="////", edgecolor=shade(axes.figure, 0.0))
    size = [measured(f"{count:,}", points)[not upright] if points else 0.0 for count in shown.counts]
    over = max(height / max(plan.bars[1] - number - PAD, 0.1) for height, number in zip(heights, size, strict=True))
    axes.set(xlim=(0, columns), ylim=(0, over * plan.bars[1]))
    for x, height, count in zip(range(columns), heights, shown.counts, strict=True) if points else ():
        place: Any = {"xytext": (0, 1.5), "textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes.annotate(f"{count:,}", (x + 0.5, height), fontsize=points, rotation=90 * upright, **place)


def _draw_sizes(axes: Axes, plan: Plan) -> None:
    """How many weights each set has, as bars that grow to the left."""
    sizes, small = plan.shown.sizes, small_points()
    axes.barh(np.arange(len(sizes)) + 0.5, sizes, height=0.6, color=shade(axes.figure, _REST), linewidth=0)
    room = plan.sizes - measured(f"{max(sizes):,}", small)[0] - PAD
    axes.set(xlim=(max(sizes) * plan.sizes / room, 0), ylim=(len(sizes), 0))
    points = max(min(small, 72 * 0.85 * plan.every * plan.row), LEAST_POINTS)
    if plan.names is not None:
        for row, size in [*enumerate(sizes)][:: plan.every]:
            place: Any = {"xytext": (-2, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
            axes.annotate(f"{size:,}", (size, row + 0.5), fontsize=points, **place)
