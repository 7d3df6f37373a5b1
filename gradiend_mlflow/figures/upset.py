"""The regions of any number of sets as an UpSet plot (Lex et al. 2014)."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import check_arguments, new_figure, shade
from gradiend_mlflow.figures.drawing.text import single_line, wrapped
from gradiend_mlflow.overlap.overlap import Overlap

_LABELLED_UP_TO = 60
_INK, _REST, _STRIPE = 0.85, 0.35, 0.05  # how much of the color of text is in them
_LETTER = 0.067  # inches


@dataclass(frozen=True, eq=False)
class _Shown:
    """What is drawn.

    Attributes:
        labels: The sets that have a row.
        sizes: Their sizes.
        matrix: Which set (row) is in which region (column).
        counts: The weights in each region.
        rest: Whether the last region is the sum of all others, which no set is in.
        footnotes: What is left out, a line each.
    """

    labels: list[str]
    sizes: list[int]
    matrix: npt.NDArray[np.bool_]
    counts: list[int]
    rest: bool
    footnotes: list[str]


def plot_upset(
    overlap: Overlap,
    fig: Figure | None = None,
    *,
    max_regions: int = 20,
    min_sets: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw which weights any number of sets share: a bar per combination of sets, the largest first.

    A weight counts in one bar, that of exactly the sets that hold it, which the dots below name. The bars on the left
    are the sets' sizes.

    Args:
        overlap: The overlap of any number of sets.
        fig: A figure to draw into, whose size is set to fit; default a new one, which is unknown to pyplot.
        max_regions: The largest number of combinations with a bar of their own. The weights of the others are summed
            in a last, lighter bar, which is hatched and cut off if it would be higher than the others. Fewer have a
            bar if the sets in them would be more than the 60 that can be named.
        min_sets: Leave out weights that fewer sets hold; 2 shows shared weights only. Default 1 if every combination
            has a bar, else 2 if any weights are shared, because the weights of single sets would take all the bars.
        title: A title above the figure.

    Returns:
        The figure. Sets in none of the combinations shown have no row; a footnote says how many they are, and how
        many weights the default of 2 leaves out. The rows of more than 60 sets have no names, which it says too.

    Raises:
        InvalidInputError: If `max_regions` is not at least 1, no weight is in `min_sets` sets, or `fig` has axes
            already or is a part of a figure (SubFigure), which has no size of its own.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> bars = plot_upset(compute_overlap(sets)).axes[1]
        >>> [text.get_text() for text in bars.texts]
        ['2', '1', '1']
    """
    check_arguments(overlap, (Overlap,), title, fig=fig)
    check_int("max_regions", max_regions, least=1)
    check_int("min_sets", 1 if min_sets is None else min_sets, least=1)
    figure = _resizable(new_figure((6, 4)) if fig is None else fig)
    shown = _selected(overlap, max_regions, min_sets)
    n, columns = shown.matrix.shape
    names = single_line(shown.labels) if n <= _LABELLED_UP_TO else []
    width = max(0.36 * columns, 1.6)
    available = width + _LETTER * max(map(len, names), default=0)  # from the dots' left edge to the labels' right one
    footnote = "\n".join(wrapped(line, int(available / _LETTER)) for line in shown.footnotes)
    heading = wrapped(title or "", int((available + 1) / (1.5 * _LETTER)))
    row = 0.26 if n <= 30 else 0.2 if names else 0.06  # noqa: PLR2004
    top, bottom = 0.35 + 0.2 * heading.count("\n"), 0.35 + 0.14 * footnote.count("\n")
    ink, gray = shade(figure, _INK), shade(figure, _REST)
    bar_colors = np.where(np.arange(columns) < columns - shown.rest, ink, gray).tolist()
    highest = max(shown.counts[: columns - shown.rest])
    heights = [min(count, 1.15 * highest) for count in shown.counts]

    marsilea = _marsilea()
    board = marsilea.WhiteBoard(width=width, height=row * n, margin=(top, 0.35, bottom, 0.35))
    board.add_layer(marsilea.plotter.MarkerMesh(shown.matrix, color=ink, marker="o", size=min(400 * row**2, 38)))
    style: dict[str, Any] = {"fmt": lambda number: f"{number:,.0f}", "label": None}
    style["props"] = {"fontsize": 8, "rotation": 0 if max(shown.counts) < 1000 else 45}  # noqa: PLR2004
    regions = marsilea.plotter.Numbers(heights, color=bar_colors, **style)
    board.add_top(regions, size=1.8, pad=0.08, name="regions")
    style["props"] = {"fontsize": 8}
    sizes = marsilea.plotter.Numbers(shown.sizes, color=gray, show_value=bool(names), **style)
    board.add_left(sizes, size=1.1, pad=0.1, name="sizes")
    if names:
        board.add_right(marsilea.plotter.Labels(names, fontsize=9), pad=0.1)
    board.render(figure)
    _finish(board, shown, row)
    board.get_main_ax().annotate(footnote, (0, 0), (0, -8), "axes fraction", "offset points", va="top", fontsize=8)
    board.get_ax("regions").set_title(heading, pad=14)
    return figure


def _resizable(fig: Figure) -> Figure:
    """Make `fig` a figure that marsilea can draw into, which places everything in inches and measures labels."""
    if not isinstance(fig, Figure):
        raise InvalidInputError(
            "plot_upset sets the size of its figure to what bars and labels need, so fig must be a Figure, not a part "
            f"of one; got {type(fig).__name__}"
        )
    if fig.axes:
        raise InvalidInputError(
            "plot_upset fills its whole figure, and fig has axes already: give it a new one, or fig.clear() before"
        )
    if not hasattr(fig.canvas, "get_renderer"):
        FigureCanvasAgg(fig)
    fig.set_layout_engine("none")
    return fig


def _selected(overlap: Overlap, max_regions: int, min_sets: int | None) -> _Shown:
    regions = [(members, size) for members, size in overlap.regions.items() if len(members) >= (min_sets or 1)]
    shared = [(members, size) for members, size in regions if len(members) > 1]
    alone = 0
    if min_sets is None and shared and len(regions) > max_regions + 1:
        alone = sum(size for members, size in regions if len(members) == 1)
        regions = shared
    if not regions:
        raise InvalidInputError(f"no weight is in {min_sets} of the {len(overlap.labels)} sets")
    # A last bar for a single region would say less than the region itself.
    split = len(regions) if len(regions) <= max_regions + 1 else max_regions
    together: Iterator[set[str]] = accumulate((set(members) for members, _ in regions[:split]), operator.or_)
    split = sum(len(members) <= _LABELLED_UP_TO for members in together) or split
    own, rest = regions[:split], regions[split:]
    in_own = set().union(*(members for members, _ in own))
    labels = [label for label in overlap.labels if label in in_own]
    sizes = [size for label, size in zip(overlap.labels, overlap.sizes.tolist(), strict=True) if label in in_own]
    matrix = np.array([[label in members for members, _ in own] + [False] * bool(rest) for label in labels])
    counts = [size for _, size in own] + [sum(size for _, size in rest)] * bool(rest)
    left_out, many = len(overlap.labels) - len(labels), len(labels) > _LABELLED_UP_TO
    footnotes = {
        f"{len(labels)} sets, a row each in their order, are too many to be named: overlap.regions names them": many,
        f"last bar: {len(rest):,} other combinations": rest,
        f"weights of one set alone, not shown: {alone:,}": alone,
        f"sets in none of these combinations: {left_out}": left_out,
    }
    return _Shown(
        labels, sizes, matrix, counts, bool(rest), [footnote for footnote, applies in footnotes.items() if applies]
    )


def _finish(board: Any, shown: _Shown, row: float) -> None:
    """Stripes, the lines between dots, the last bar, and the words that say what the bars are."""
    main, bars = board.get_main_ax(), board.get_ax("regions")
    n = len(shown.labels)
    for index in range(0, n if n <= _LABELLED_UP_TO else 0, 2):
        main.axhspan(index, index + 1, color=shade(main.figure, _STRIPE), zorder=0)
    width = 1.5 if row > 0.1 else 0.8  # noqa: PLR2004
    for column, held in enumerate(shown.matrix.T):
        rows = np.flatnonzero(held)
        if len(rows) > 1:
            ends = rows[[0, -1]] + 0.5
            main.vlines(column + 0.5, *ends, color=shade(main.figure, _INK), linewidth=width)
    if shown.rest:
        bars.texts[-1].set_text(f"{shown.counts[-1]:,}")
        if bars.patches[-1].get_height() < shown.counts[-1]:
            bars.patches[-1].set(hatch="////", edgecolor=shade(main.figure, 0.0))
    for axes in (bars, board.get_ax("sizes")):
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
    bars.margins(y=0.15)
    bars.set_ylabel("weights in exactly\nthese sets", fontsize=9)
    board.get_ax("sizes").set_xlabel("weights per set", fontsize=9)


def _marsilea() -> Any:
    """marsilea, without the changes that its import makes to matplotlib's settings of legends."""
    with mpl.rc_context():
        import marsilea.plotter
    return marsilea
