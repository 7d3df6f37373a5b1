"""Where in the model the weights of top-k sets lie: by layer and by component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments, colormap, shade
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, measured, points_of
from gradiend_mlflow.figures.drawing.page import PAD, Page, readable_on, small_points
from gradiend_mlflow.figures.plans.layers import BAR, Content, Plan, planned, usual_width
from gradiend_mlflow.overlap.grouping import GroupedOverlap
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.picture import SHARE_TITLE

_SIGNS = 0.22  # how much of the color of text is in a bar of signs


def plot_layers(
    overlap: Overlap,
    fig: FigureBase | None = None,
    *,
    cmap: str = "viridis",
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> FigureBase:
    """Draw which layers and which components hold the weights of each set, and the weights that sets share.

    Args:
        overlap: The overlap of any number of sets.
        fig: A figure or part of one (SubFigure) to fill; it keeps its size. Default a new one, which is unknown to
            pyplot.
        cmap: A matplotlib colormap.
        title: A title above the figure.
        figsize: The size of a new figure: "column", "text", or width and height in inches; default what it needs.
        output_path: One or several files to save to: .png, .pdf, .svg.
        show: Whether to open a window.

    Returns:
        The figure, with layers above and components below. There is a column per set, in percent of its weights; then
        one each for the weights in at least two sets and in all, with their number. Beside each of these, bars say how
        many of the shared weights have the same sign in all the sets that hold them. Layers and components have the
        names of `Overlap.by_layer` and `Overlap.by_component`. If names have no room, every second, third, ... has
        one, which a line below says, and more than 60 sets have none.

    Raises:
        InvalidInputError: If no set has a weight, `fig` has axes already, or another argument is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
        >>> space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
        >>> sets = {"a": TopKSet.from_indices([0, 5], space=space), "b": TopKSet.from_indices([5, 6], space=space)}
        >>> [cell.get_text() for cell in plot_layers(compute_overlap(sets)).axes[0].texts]
        ['50', '0', '0', '50', '100', '100']
    """
    if isinstance(overlap, GroupedOverlap):
        raise InvalidInputError(
            "plot_layers draws an overlap by layers and components itself: pass the overlap, not what its by_layer() "
            "or by_token() returned; tokens, heads and neurons have no figure, but tables: share() and to_frame()"
        )
    check_arguments(overlap, (Overlap,), title, fig=fig)
    colors = colormap(cmap)
    sheet = Sheet.checked(fig, figsize=figsize, output_path=output_path, show=show)
    if not overlap.union_size:
        raise InvalidInputError("there is no weight in any of the sets, so none lies anywhere")
    content = Content.of(overlap, title or "")
    if fig is None:
        fig = sheet.figure(lambda width: planned(content, width).height, usual=usual_width(content), layout="none")
    page = Page.of(fig, "plot_layers")
    _draw(page, content, planned(content, page.width, page.height), colors)
    return sheet.finished(fig)


def _draw(page: Page, content: Content, plan: Plan, colors: Any) -> None:
    small, width = small_points(), plan.column * content.edges[-1, 1]
    shares = ~np.array(content.signs)
    norm = Normalize(0, max(float(np.nanmax(frame.to_numpy()[:, shares])) for frame in content.maps))
    page.title(plan.title, points_of("axes.titlesize"))
    top, maps = plan.top, []
    for kind, frame in zip(("layer", "component"), content.maps, strict=True):
        if plan.heading:
            page.text(plan.left, top, f"by {kind}", small)
        top += plan.heading
        maps.append(page.axes(plan.left, top, width, plan.row * len(frame)))
        _draw_map(maps[-1], frame, content, plan, lambda share: colors(norm(share)))
        top += plan.row * len(frame) + 2 * PAD
    _name_columns(maps[-1], content, plan)
    if plan.footer:
        page.text(PAD, page.height - PAD, plan.footer, small, va="bottom")
    if plan.numbers is None:
        begin = plan.top + plan.heading
        bar = page.axes(page.width - plan.bar + PAD, begin, BAR, top - 2 * PAD - begin)
        _draw_color_bar(bar, ScalarMappable(norm, colors), SHARE_TITLE.replace("weight", content.unit))


def _draw_map(axes: Axes, frame: pd.DataFrame, content: Content, plan: Plan, color_of: Callable[[Any], Any]) -> None:
    """Cells of shares in colors, and bars of signs; with numbers if there is room for them."""
    numbers, edges, n = frame.to_numpy(), content.edges, len(content.labels)
    axes.set(xlim=(0, edges[-1, 1]), ylim=(len(numbers), 0))
    axes.set_yticks(np.arange(0, len(numbers), plan.every_row) + 0.5, plan.rows_of(frame))
    axes.tick_params(length=0, labelsize=plan.row_points, pad=72 * PAD)
    rows = np.arange(len(numbers) + 1)
    cells = color_of(np.ma.masked_invalid(numbers))
    axes.pcolormesh(np.arange(n + 1), rows, cells[:, :n], rasterized=n > 1)
    for column, (start, end) in enumerate(edges[n:], start=n):
        if content.signs[column]:
            _draw_signs(axes, numbers[:, column], start, end)
        else:
            axes.pcolormesh([start, end], rows, cells[:, column : column + 1])
    for (row, column), number in np.ndenumerate(numbers) if plan.numbers else ():
        color = readable_on(cells[row, column])
        if np.isnan(number) or content.signs[column]:
            color = mpl.rcParams["text.color"]
        text = "-" if np.isnan(number) else f"{number:.0f}"
        axes.text(edges[column].mean(), row + 0.5, text, ha="center", va="center", fontsize=plan.numbers, color=color)


def _draw_signs(axes: Axes, numbers: npt.NDArray[np.float64], start: float, end: float) -> None:
    """A frame per row, filled from the left as far as signs agree."""
    known = np.flatnonzero(~np.isnan(numbers))
    style: Any = {
        "clip_on": False,
        "height": 0.8,
        "left": start,
        "linewidth": 0.4,
        "edgecolor": shade(axes.figure, 0.5),
    }
    axes.barh(known + 0.5, end - start, facecolor="none", **style)
    axes.barh(known + 0.5, numbers[known] / 100 * (end - start), facecolor=shade(axes.figure, _SIGNS), **style)


def _name_columns(axes: Axes, content: Content, plan: Plan) -> None:
    """Write the runs' names and what stands beside them, read from below."""
    middles, n = content.edges.mean(axis=1), len(content.labels)
    shown = plan.names.texts if plan.names else ()
    axes.set_xticks([*middles[:n][:: plan.every][: len(shown)], *middles[n:]], [*shown, *plan.extra.texts])
    axes.tick_params(axis="x", rotation=90, pad=72 * PAD / 2)
    for index, label in enumerate(axes.get_xticklabels()):
        label.set_fontsize(plan.names.points if plan.names and index < len(shown) else plan.extra.points)
        label.set_multialignment("right")


def _draw_color_bar(axes: Axes, colors: ScalarMappable, title: str) -> None:
    bar = axes.figure.colorbar(colors, cax=axes, ticks=MaxNLocator(6, integer=True))
    bar.outline.set_visible(False)
    height, points = axes.get_window_extent().height / axes.figure.dpi, small_points()
    while points > LEAST_POINTS and measured(title, points)[0] > height:
        points = max(points - 0.5, LEAST_POINTS)
    bar.set_label(title, fontsize=points)
    bar.ax.tick_params(labelsize=small_points(), pad=2)
