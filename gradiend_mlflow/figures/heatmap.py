"""The overlap of every pair of runs as a heatmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.arrangement import Arrangement, Order, arranged
from gradiend_mlflow.figures.drawing.canvas import check_arguments, colormap, new_figure
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, own_size, set_title
from gradiend_mlflow.figures.drawing.margins import (
    EMPTY_COLOR,
    LONGEST_GROUP,
    draw_brackets,
    draw_color_bar,
    draw_side_bar,
    draw_tree,
)
from gradiend_mlflow.figures.drawing.text import single_line
from gradiend_mlflow.overlap.measures import SIGNED, VALUE_TITLES, Value, check_value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap

Scale = Literal["linear", "log", "sqrt", "power"]
Writer = Callable[[float], str]

ANNOTATED_UP_TO = 25
LABELLED_UP_TO = 80
NOT_CONVERGED = "†"  # gradiend's marker
_LEGIBLE = 4.5  # points
_SMALL = 1.5  # inches: cells that are narrower together leave no space for the groups' names beside them


def plot_heatmap(
    overlap: Overlap | SeedOverlap,
    ax: Axes | None = None,
    *,
    value: Value = "intersection_frac",
    order: Order = "input",
    cluster: bool = False,
    groups: Mapping[str, Any] | None = None,
    annot: bool | Literal["auto"] = "auto",
    percentages: bool = True,
    scale: Scale = "linear",
    scale_gamma: float = 0.5,
    correlation: Mapping[str, float] | None = None,
    converged: Mapping[str, bool | None] | None = None,
    cmap: str = "viridis",
    title: str | None = None,
) -> Axes:
    """Draw the pairwise overlap of any number of sets.

    Args:
        overlap: The overlap, of sets or of trainings with their seeds aggregated.
        ax: Where to draw; default the axes of a new figure that is large enough and unknown to pyplot: a notebook
            shows `axes.figure`, and `axes.figure.savefig(path)` writes it.
        value: "intersection" (a count) or another measure.
        order: "input", "name", "cluster" (average linkage, agreeing runs side by side), or all labels in their order.
        cluster: Order by clusters and draw their dendrogram above; excludes another `order`, and `groups`.
        groups: A mapping from label to group or from group to labels. The runs of a group are put side by side, under
            a bracket with its name, in the order of the mapping; runs that it does not name come last, as "Other".
        annot: Whether to write the values into the cells; "auto" does up to 25 sets.
        percentages: Show measures as percentages up to 100 instead of numbers up to 1; counts stay counts.
        scale: How values become colors: "linear", "sqrt", "power", or "log", from the smallest positive value on, with
            0 in gray.
        scale_gamma: The exponent of the scale "power"; below 1 small values differ more.
        correlation: A number per label, such as each run's correlation, as a column beside the cells.
        converged: Whether a label's run converged; those with False are marked with gradiend's dagger.
        cmap: A matplotlib colormap.
        title: A title above the axes.

    Returns:
        The axes. Labels of more than 40 letters are shortened; more than 80 sets are drawn without labels, and
        so is what would be too small to read in the axes given. Axes in a figure without a layout engine shrink, so
        that all that stands around the cells stays within their part of it.

    Raises:
        InvalidInputError: If `value`, `order` or `scale` is not acceptable, two orders are given, `groups` names what
            is no label or a label twice, or another argument is of the wrong type.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> [cell.get_text() for cell in plot_heatmap(compute_overlap(sets)).texts]
        ['100', '67', '67', '100']
    """
    check_arguments(overlap, (Overlap, SeedOverlap), title, ax=ax)
    check_value(value)
    if not isinstance(annot, bool):
        check_choice("annot", annot, ("auto",))
    _check_marks(overlap.labels, correlation, converged)
    matrix = np.asarray(overlap.values(value), dtype=float)
    arrangement = arranged(overlap.labels, matrix, order, groups, cluster=cluster)
    rows, percent = arrangement.rows, percentages and value != "intersection"
    shown = matrix[np.ix_(rows, rows)] * (100 if percent else 1)
    written = _writer(shown, whole=percent or value == "intersection")
    norm = _norm(shown, value, scale, scale_gamma, top=100 if percent else None if value == "intersection" else 1)
    labels, short = [overlap.labels[row] for row in rows], single_line(overlap.labels)
    marks = [NOT_CONVERGED * ((converged or {}).get(label) is False) for label in labels]
    names = [short[row] + mark for row, mark in zip(rows, marks, strict=True)]
    number = max(len(written(shown.min())), len(written(shown.max())))
    sizes = _Sizes.of(names, number, arrangement, ax, annot=annot, side_bar=correlation is not None)
    axes = new_figure(sizes.figure, layout="none").add_axes((0, 0, 1, 1)) if ax is None else ax
    _draw_cells(axes, shown, written, sizes.numbers, norm=norm, cmap=colormap(cmap).with_extremes(bad=EMPTY_COLOR))
    _name_runs(axes, names, sum(map(bool, marks)), sizes.names)
    side, beside, over = None, 0.0, 0.0
    if correlation is not None:
        numbers = [correlation.get(label, np.nan) for label in labels]
        side, beside = draw_side_bar(axes, numbers, "correlation", fontsize=sizes.numbers)
    if arrangement.brackets is not None:
        over, beside = draw_brackets(axes, arrangement.brackets, beside, sizes.cell, named=sizes.groups_named_beside)
    elif arrangement.tree is not None:
        over = draw_tree(axes, arrangement.tree)
    draw_color_bar(
        axes,
        VALUE_TITLES[value] + " (%)" * percent,
        beside,
        height=sizes.cell * len(labels),
        empty=scale == "log" and bool((shown == 0).any()),
        side=None if sizes.numbers else side,
    )
    set_title(axes, title, above=over + 6)
    lay_out(axes)
    return axes


@dataclass(frozen=True)
class _Sizes:
    """How large everything is.

    Attributes:
        figure: Width and height in inches of a figure that has space for all.
        cell: The width of a cell in points.
        names: The font size of the runs' names; None to leave them out.
        numbers: The font size of the numbers in the cells; None to leave them out.
        groups_named_beside: Whether there is space for the groups' names beside the cells too.
    """

    figure: tuple[float, float]
    cell: float
    names: float | None
    numbers: float | None
    groups_named_beside: bool

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        number: int,
        arrangement: Arrangement,
        ax: Axes | None,
        *,
        annot: bool | str,
        side_bar: bool,
    ) -> _Sizes:
        n, longest = len(names), max(map(len, names)) if len(names) <= LABELLED_UP_TO else 0
        group = min(max(map(len, arrangement.brackets or [""])), LONGEST_GROUP)
        brackets = 0.2 if arrangement.brackets else 0.0
        # Beside the cells: what the colors mean; above: the title.
        width = 1.4 + 0.075 * longest + 0.5 * side_bar + brackets
        height = 0.7 + 0.06 * longest + 0.7 * (arrangement.tree is not None) + brackets + 0.06 * group
        beside = 0.08 * group
        readable = max(2.2 / n, 0.62 if n <= ANNOTATED_UP_TO else 0.22) if n <= LABELLED_UP_TO else 6.5 / n
        cells = readable * n
        figure = cells + width + beside, cells + height
        if ax is not None:
            available = cell_size(ax)
            if min(available[0] - width - beside, available[1] - height) < _SMALL:
                beside = 0.0
            cells = min(max(min(available[0] - width - beside, available[1] - height), 0.1), *own_size(ax))
        cell = 72 * cells / n
        names_size, numbers_size = min(10.0, cell / 2), min(9.0, 1.25 * cell / number)
        annotated = n <= ANNOTATED_UP_TO and numbers_size >= _LEGIBLE if annot == "auto" else annot
        return cls(
            figure,
            cell,
            names_size if names_size >= _LEGIBLE else None,
            max(numbers_size, 1.0) if annotated else None,
            groups_named_beside=beside > 0,
        )


def _draw_cells(
    axes: Axes, shown: npt.NDArray[np.float64], written: Writer, fontsize: float | None, **colors: Any
) -> None:
    import seaborn as sns

    sns.heatmap(
        shown,
        ax=axes,
        annot=np.vectorize(written)(shown) if fontsize else None,
        fmt="",
        annot_kws={"fontsize": fontsize},
        square=True,
        linewidths=0.5 if len(shown) <= ANNOTATED_UP_TO else 0,
        cbar=False,
        xticklabels=False,
        yticklabels=False,
        **colors,
    )
    axes.collections[0].set_rasterized(len(shown) > LABELLED_UP_TO)  # else a PDF of 200 runs draws 40,000 squares


def _name_runs(axes: Axes, names: Sequence[str], failed: int, fontsize: float | None) -> None:
    """Names on both axes, or only their number; below it what daggers mean, or how many there would be."""
    axes.tick_params(axis="both", length=0, labelsize=fontsize)
    if fontsize is None:
        axes.set(xlabel=f"{len(names)} runs", ylabel=f"{len(names)} runs")
        if failed:
            axes.set_xlabel(f"{len(names)} runs\n{failed} not converged", loc="left", fontsize=7)
        return
    middles = np.arange(len(names)) + 0.5
    axes.set_xticks(middles, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names, rotation=0)
    if failed:
        axes.set_xlabel(f"{NOT_CONVERGED} did not converge", loc="right", fontsize=8)


def _check_marks(
    labels: Sequence[str], correlation: Mapping[str, float] | None, converged: Mapping[str, bool | None] | None
) -> None:
    for name, marks in (("correlation", correlation), ("converged", converged)):
        if marks is not None and not isinstance(marks, Mapping):
            raise InvalidInputError(f"{name} must be a mapping from label; got {type(marks).__name__}")
        if unknown := [repr(label) for label in marks or () if label not in labels]:
            raise InvalidInputError(f"{name} names {', '.join(unknown)}; the labels are {', '.join(labels)}")
    for label, number in (correlation or {}).items():
        if not _is_number(number):
            raise InvalidInputError(f"correlation must be numbers; got {number!r} for {label!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _writer(shown: npt.NDArray[np.float64], *, whole: bool) -> Writer:
    """Write numbers as whole ones, or with two digits after the point."""
    # Below ten a whole number says little; aggregated counts may lie between two.
    apart = shown[~np.eye(len(shown), dtype=bool)]
    small = len(apart) > 0 and 0 < np.abs(apart).max() < 10 and (apart % 1 != 0).any()  # noqa: PLR2004
    digits = 2 if not whole else 1 if small else 0

    def written(number: float) -> str:
        if digits == 0 and 0 < abs(number) < 0.5:  # noqa: PLR2004  # little is not nothing
            return "<1" if number > 0 else ">-1"
        return f"{number:.{digits}f}"

    return written


def _norm(shown: npt.NDArray[np.float64], value: Value, scale: Scale, gamma: float, top: float | None) -> Any:
    """How values become colors, up to `top`, or to the largest of them."""
    check_choice("scale", scale, get_args(Scale))
    high = float(shown.max()) or 1.0 if top is None else top
    low = -high if value in SIGNED else 0.0
    if scale == "linear":
        return Normalize(low, high)
    if low < 0:
        raise InvalidInputError(f"scale={scale!r} has no negative values, but {value} does: use scale='linear'")
    if scale == "log":
        positive = shown[shown > 0]
        return LogNorm(min(float(positive.min(initial=high)), high / 10), high)  # it has no place for 0
    if scale == "power" and not (_is_number(gamma) and gamma > 0):
        raise InvalidInputError(f"scale_gamma must be a number greater than 0; got {gamma!r}")
    return PowerNorm(0.5 if scale == "sqrt" else gamma, low, high)
