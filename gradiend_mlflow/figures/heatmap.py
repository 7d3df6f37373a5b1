"""The overlap of every pair of runs as a heatmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.arrangement import Arrangement, Order, arranged
from gradiend_mlflow.figures.canvas import VALUE_TITLES, check_overlap, check_place, colormap, new_figure
from gradiend_mlflow.figures.layout import keep_title_inside, lay_out, own_size, set_title, slot_size
from gradiend_mlflow.figures.margins import EMPTY_COLOR, draw_brackets, draw_color_bar, draw_side_bar, draw_tree
from gradiend_mlflow.figures.text import fitting, spell_out
from gradiend_mlflow.overlap.measures import SIGNED, Value, check_value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["linear", "log", "sqrt", "power"]

ANNOTATED_UP_TO = 25
LABELLED_UP_TO = 80
NOT_CONVERGED = "†"  # gradiend's marker
_LEGIBLE = 4.5  # points
_SMALL = 1.5  # inches


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
        ax: Where to draw; default the axes of a new figure of a fitting size, which pyplot does not know: a notebook
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
    check_overlap(overlap, (Overlap, SeedOverlap))
    check_place(title, ax=ax)
    check_value(value)
    if not isinstance(annot, bool):
        check_choice("annot", annot, ("auto",))
    for name, by_label in (("correlation", correlation), ("converged", converged)):
        _check_labels(name, by_label, overlap.labels)
    _check_numbers("correlation", correlation or {})
    labels, matrix = overlap.labels, np.asarray(overlap.values(value), dtype=float)
    arrangement = arranged(labels, matrix, order, groups, cluster=cluster)
    n, rows = len(labels), arrangement.rows
    counts = value == "intersection"
    shown = matrix[np.ix_(rows, rows)] * (100 if percentages and not counts else 1)
    names, fmt = _marked(labels, converged), _format(shown, whole=percentages or counts)
    names = [names[row] for row in rows]
    around = _Around.of(names, arrangement, correlation)
    axes = ax
    if axes is None:
        size = (_cell(n) * n + around.width, _cell(n) * n + around.height)
        axes = new_figure(size, layout="none").add_axes((0, 0, 1, 1))
    elif around.side_within(slot_size(axes)) < _SMALL:
        around = around.without_names_beside()
    cell = 72 * (_cell(n) if ax is None else min(around.side_within(slot_size(axes)), *own_size(axes)) / n)
    sizes = _Sizes.of(cell, n, max(len(format(number, fmt)) for number in (shown.min(), shown.max())), annot)
    norm = _norm(shown, value, scale, scale_gamma, top=None if counts else 100 if percentages else 1)
    _draw_cells(axes, shown, sizes, norm=norm, cmap=cmap, fmt=fmt)
    _name_runs(axes, names, sizes)
    beside, side = 0.0, None
    if correlation is not None:
        numbers = [correlation.get(labels[row], np.nan) for row in rows]
        side, beside = draw_side_bar(axes, numbers, "correlation", fontsize=sizes.numbers)
    over = 0.0
    if arrangement.brackets is not None:
        over, beside = draw_brackets(axes, arrangement.brackets, beside, cell, named=around.names_beside > 0)
    elif arrangement.tree is not None:
        over = draw_tree(axes, arrangement.tree)
    draw_color_bar(
        axes,
        VALUE_TITLES[value] + (" (%)" if percentages and not counts else ""),
        beside,
        height=cell * n,
        empty=scale == "log" and bool((shown == 0).any()),
        side=None if sizes.numbers else side,
    )
    if title:
        set_title(axes, title, above=over + 6)
    spell_out(axes)
    lay_out(axes)
    keep_title_inside(axes)
    return axes


@dataclass(frozen=True)
class _Around:
    """How many inches are needed beside and above the cells; part of the width for the names of groups."""

    width: float
    height: float
    names_beside: float = 0.0

    @classmethod
    def of(cls, names: Sequence[str], arrangement: Arrangement, correlation: object) -> _Around:
        width, height = 1.4, 0.7  # what the colors mean, and a title
        if len(names) <= LABELLED_UP_TO:
            longest = max(map(len, names))
            width, height = width + 0.075 * longest, height + 0.06 * longest
        if correlation is not None:
            width += 0.5
        if arrangement.tree is not None:
            height += 0.7
        if arrangement.brackets is None:
            return cls(width, height)
        longest = min(max(map(len, arrangement.brackets)), 30)
        beside = 0.08 * longest
        return cls(width + 0.2 + beside, height + 0.2 + 0.06 * longest, beside)

    def without_names_beside(self) -> _Around:
        """Where room is scarce the names above the cells have to do."""
        return _Around(self.width - self.names_beside, self.height)

    def side_within(self, size: tuple[float, float]) -> float:
        """How wide the cells are together in so much room."""
        return max(min(size[0] - self.width, size[1] - self.height), 0.1)


def _cell(n: int) -> float:
    """The width of a cell in inches at which a heatmap of so many sets is readable."""
    return max(2.2 / n, 0.62 if n <= ANNOTATED_UP_TO else 0.22) if n <= LABELLED_UP_TO else 6.5 / n


@dataclass(frozen=True)
class _Sizes:
    """The sizes of what is written, for cells of so many points; None for what is left out."""

    names: float | None
    numbers: float | None

    @classmethod
    def of(cls, cell: float, n: int, longest_number: int, annot: bool | str) -> _Sizes:
        names, numbers = min(10.0, cell / 2), min(9.0, 1.25 * cell / longest_number)
        annotated = n <= ANNOTATED_UP_TO and numbers >= _LEGIBLE if annot == "auto" else annot
        return cls(names if names >= _LEGIBLE else None, max(numbers, 1.0) if annotated else None)


def _draw_cells(axes: Axes, shown: npt.NDArray[np.float64], sizes: _Sizes, *, norm: Any, cmap: str, fmt: str) -> None:
    import seaborn as sns

    n = len(shown)
    sns.heatmap(
        shown,
        ax=axes,
        annot=None if sizes.numbers is None else np.vectorize(lambda number: _written(number, fmt))(shown),
        fmt="",
        annot_kws={"fontsize": sizes.numbers},
        cmap=colormap(cmap).with_extremes(bad=EMPTY_COLOR),
        norm=norm,
        square=True,
        linewidths=0.5 if n <= ANNOTATED_UP_TO else 0,
        cbar=False,
        xticklabels=False,
        yticklabels=False,
    )
    axes.collections[0].set_rasterized(n > LABELLED_UP_TO)  # else a PDF of 200 runs draws 40,000 squares


def _written(number: float, fmt: str) -> str:
    """A cell's number; little is told from nothing."""
    if fmt == ".0f" and 0 < abs(number) < 0.5:  # noqa: PLR2004  # what rounds to 0
        return "<1" if number > 0 else ">-1"
    return format(number, fmt)


def _name_runs(axes: Axes, names: Sequence[str], sizes: _Sizes) -> None:
    axes.tick_params(axis="both", length=0, labelsize=sizes.names)
    if sizes.names is None:
        axes.set(xlabel=f"{len(names)} runs", ylabel=f"{len(names)} runs")
        if failed := sum(name.endswith(NOT_CONVERGED) for name in names):
            axes.set_xlabel(f"{len(names)} runs\n{failed} not converged", loc="left", fontsize=7)
        return
    middles = np.arange(len(names)) + 0.5
    axes.set_xticks(middles, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names, rotation=0)
    if any(name.endswith(NOT_CONVERGED) for name in names):
        axes.set_xlabel(f"{NOT_CONVERGED} did not converge", loc="right", fontsize=8)


def _check_labels(name: str, by_label: Mapping[str, object] | None, labels: Sequence[str]) -> None:
    if by_label is None:
        return
    if not isinstance(by_label, Mapping):
        raise InvalidInputError(f"{name} must be a mapping from label; got {type(by_label).__name__}")
    unknown = [label for label in by_label if label not in labels]
    if unknown:
        raise InvalidInputError(f"{name} names {', '.join(map(repr, unknown))}; the labels are {', '.join(labels)}")


def _check_numbers(name: str, by_label: Mapping[str, object]) -> None:
    for label, number in by_label.items():
        if not _is_number(number):
            raise InvalidInputError(f"{name} must be numbers; got {number!r} for {label!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (Real, np.number)) and not isinstance(value, (bool, np.bool_))


def _marked(labels: Sequence[str], converged: Mapping[str, bool | None] | None) -> list[str]:
    """What the runs are called in the figure, those that did not converge with a dagger."""
    failed = {label for label, value in (converged or {}).items() if value is False}
    return [name + NOT_CONVERGED * (label in failed) for label, name in zip(labels, fitting(labels), strict=True)]


def _format(shown: npt.NDArray[np.float64], *, whole: bool) -> str:
    if not whole:
        return ".2f"
    # Below ten a whole number says little; aggregated counts may lie between two.
    apart = shown[~np.eye(len(shown), dtype=bool)]
    small = len(apart) > 0 and 0 < np.abs(apart).max() < 10 and (apart % 1 != 0).any()  # noqa: PLR2004
    return ".1f" if small else ".0f"


def _norm(shown: npt.NDArray[np.float64], value: Value, scale: Scale, gamma: float, top: float | None) -> Any:
    from matplotlib.colors import LogNorm, Normalize, PowerNorm

    check_choice("scale", scale, get_args(Scale))
    high = float(shown.max()) or 1.0 if top is None else top
    low = -high if value in SIGNED else 0.0
    if scale == "linear":
        return Normalize(low, high)
    if low < 0:
        raise InvalidInputError(f"the scale {scale!r} knows no negative values, which {value} has: take 'linear'")
    if scale == "log":
        positive = shown[shown > 0]
        return LogNorm(min(float(positive.min(initial=high)), high / 10), high)  # 0 has no place on it
    if scale == "power" and not (_is_number(gamma) and gamma > 0):
        raise InvalidInputError(f"scale_gamma must be a number greater than 0; got {gamma!r}")
    return PowerNorm(0.5 if scale == "sqrt" else gamma, low, high)
