"""The regions of any number of sets as an UpSet plot (Lex et al. 2014)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.canvas import check_overlap, check_place, new_figure, shade
from gradiend_mlflow.figures.text import families, fitting, spell_out, wrapped
from gradiend_mlflow.overlap.overlap import Overlap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELLED_UP_TO = 60
_INK, _REST, _STRIPE = 0.85, 0.35, 0.05  # how much of the color of text is in them
_LETTER = 0.067  # inches


@dataclass(frozen=True, eq=False)
class _Shown:
    """What is drawn: `matrix` tells which set (row) is in which region (column)."""

    labels: list[str]
    sizes: list[int]
    matrix: npt.NDArray[np.bool_]
    counts: list[int]
    rest: int  # regions that are summed in a last bar
    sets_left_out: int
    alone: int = 0  # weights of one set that are left out without having been asked to


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
        fig: A figure to draw into, whose size is set to fit; default a new one, which pyplot does not know.
        max_regions: How many combinations have a bar of their own, at most; the weights of the others are summed in a
            last, lighter bar, which is hatched and cut off if it is higher than the others. There are fewer where the
            sets in them would be more than the 60 that can be named.
        min_sets: Leave out what fewer sets hold; 2 shows shared weights only. Default 1 if every combination has its
            bar, else 2 if any weights are shared: of many sets, what each holds alone would take all the bars.
        title: A title above the figure.

    Returns:
        The figure. Sets that are in none of the combinations shown have no row; a line below says how many, and
        how many weights a default of 2 leaves out. More than 60 sets have rows without names, which it says too.

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
    check_overlap(overlap, (Overlap,))
    check_place(title, fig=fig)
    for name, number in (("max_regions", max_regions), ("min_sets", 1 if min_sets is None else min_sets)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidInputError(f"{name} must be an int of at least 1; got {number!r}")
    figure = _resizable(new_figure((6, 4)) if fig is None else fig)
    shown = _selected(overlap, max_regions, min_sets)
    n, columns = shown.matrix.shape
    with_labels = n <= _LABELLED_UP_TO
    names = fitting(shown.labels) if with_labels else []
    width = max(0.36 * columns, 1.6)
    room = width + _LETTER * max(map(len, names), default=0)  # from the dots' left edge to the labels' right one
    note = "\n".join(wrapped(line, int(room / _LETTER)) for line in _remarks(shown))
    heading = wrapped(title or "", int((room + 1) / (1.5 * _LETTER)))
    row = 0.26 if n <= 30 else 0.2 if with_labels else 0.06  # noqa: PLR2004
    lines = heading.count("\n"), note.count("\n")
    marsilea, ink, gray = _marsilea(), shade(figure, _INK), shade(figure, _REST)
    board = marsilea.WhiteBoard(
        width=width, height=row * n, margin=(0.35 + 0.2 * lines[0], 0.35, 0.35 + 0.14 * lines[1], 0.35)
    )
    board.add_layer(marsilea.plotter.MarkerMesh(shown.matrix, color=ink, marker="o", size=min(400 * row**2, 38)))
    bar_colors = [ink] * (columns - bool(shown.rest)) + [gray] * bool(shown.rest)
    highest = max(shown.counts[: columns - bool(shown.rest)])
    heights = [min(count, 1.15 * highest) for count in shown.counts]
    count_style: dict[str, Any] = {"fontsize": 8} if max(shown.counts) < 1000 else {"fontsize": 8, "rotation": 45}  # noqa: PLR2004
    bars = {"fmt": lambda number: f"{number:,.0f}", "label": None}
    board.add_top(
        marsilea.plotter.Numbers(heights, color=bar_colors, props=count_style, **bars), size=1.8, pad=0.08,
        name="regions",
    )  # fmt: skip
    sizes = marsilea.plotter.Numbers(shown.sizes, color=gray, show_value=with_labels, props={"fontsize": 8}, **bars)
    board.add_left(sizes, size=1.1, pad=0.1, name="sizes")
    if with_labels:
        board.add_right(marsilea.plotter.Labels(names, fontsize=9, fontfamily=families(*names)), pad=0.1)
    board.render(figure)
    _finish(board, shown, row, note)
    if title:
        board.get_ax("regions").set_title(heading, pad=14)
    spell_out(figure)
    return figure


def _resizable(fig: Figure) -> Figure:
    """A figure that marsilea can draw into: it places everything in inches, and measures its labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

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
    least, alone = min_sets or 1, 0
    regions = [(members, size) for members, size in overlap.regions.items() if len(members) >= least]
    shared = [(members, size) for members, size in regions if len(members) > 1]
    if min_sets is None and shared and len(regions) > max_regions + 1:
        alone = sum(size for members, size in regions if len(members) == 1)
        regions = shared
    if not regions:
        raise InvalidInputError(f"no weight is in {min_sets} of the {len(overlap.labels)} sets")
    # A last bar for a single region would say less than the region itself.
    split = len(regions) if len(regions) <= max_regions + 1 else max_regions
    split = _nameable([members for members, _ in regions[:split]]) or split
    own, rest = regions[:split], regions[split:]
    member = {label: any(label in members for members, _ in own) for label in overlap.labels}
    labels = [label for label in overlap.labels if member[label]]
    sizes = dict(zip(overlap.labels, overlap.sizes.tolist(), strict=True))
    matrix = np.array([[label in members for members, _ in own] + [False] * bool(rest) for label in labels])
    counts = [size for _, size in own] + ([sum(size for _, size in rest)] if rest else [])
    return _Shown(
        labels, [sizes[label] for label in labels], matrix, counts, len(rest), len(member) - len(labels), alone
    )


def _nameable(regions: Sequence[Collection[str]]) -> int:
    """How many of the regions, from the first on, have no more sets together than can be named."""
    together: set[str] = set()
    for number, members in enumerate(regions):
        together |= set(members)
        if len(together) > _LABELLED_UP_TO:
            return number
    return len(regions)


def _remarks(shown: _Shown) -> list[str]:
    """What the figure leaves out, a line each."""
    n, said = len(shown.labels), []
    if n > _LABELLED_UP_TO:
        said.append(f"{n} sets, a row each in their order, are too many to be named: overlap.regions names them")
    if shown.rest:
        said.append(f"last bar: {shown.rest:,} other combinations")
    if shown.alone:
        said.append(f"weights of one set alone, not shown: {shown.alone:,}")
    if shown.sets_left_out:
        said.append(f"sets in none of these combinations: {shown.sets_left_out}")
    return said


def _finish(board: Any, shown: _Shown, row: float, note: str) -> None:
    """Stripes, the lines between dots, and the words that say what is what."""
    main, n = board.get_main_ax(), len(shown.labels)
    ink, stripe, ground = (shade(main.figure, share) for share in (_INK, _STRIPE, 0.0))
    if n <= _LABELLED_UP_TO:
        for index in range(0, n, 2):
            main.axhspan(index, index + 1, color=stripe, zorder=0)
    for column, held in enumerate(shown.matrix.T):
        rows = np.flatnonzero(held)
        if len(rows) > 1:
            width = 1.5 if row > 0.1 else 0.8  # noqa: PLR2004
            main.vlines(column + 0.5, rows[0] + 0.5, rows[-1] + 0.5, color=ink, linewidth=width)
    if shown.rest:
        bars = board.get_ax("regions")
        bars.texts[-1].set_text(f"{shown.counts[-1]:,}")
        if bars.patches[-1].get_height() < shown.counts[-1]:
            bars.patches[-1].set(hatch="////", edgecolor=ground)
    main.annotate(note, (0, 0), (0, -8), "axes fraction", "offset points", va="top", fontsize=8)
    for name, word in (("regions", "weights in exactly\nthese sets"), ("sizes", "weights per set")):
        axes = board.get_ax(name)
        axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axes.set(xticks=[], yticks=[])
        if name == "regions":
            axes.margins(y=0.15)
            axes.set_ylabel(word, fontsize=9)
        else:
            axes.set_xlabel(word, fontsize=9)


def _marsilea() -> Any:
    """marsilea, without what its import writes into matplotlib's settings of legends."""
    import matplotlib as mpl

    with mpl.rc_context():
        import marsilea
        import marsilea.plotter
    return marsilea
