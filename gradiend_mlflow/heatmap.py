"""The overlap of every pair of runs as a heatmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.arranging import Arrangement, Order, arranged
from gradiend_mlflow.canvas import VALUE_TITLES, axes_or_new, check_overlap, fitting, settle
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.margins import NAMES_AT, TREE_HEIGHT, draw_brackets, draw_side_bar, draw_tree
from gradiend_mlflow.measures import SIGNED, Value, check_value
from gradiend_mlflow.overlap import Overlap
from gradiend_mlflow.parts import check_choice
from gradiend_mlflow.seeds import SeedOverlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["linear", "log", "sqrt", "power"]

ANNOTATED_UP_TO = 25
LABELLED_UP_TO = 80
NOT_CONVERGED = "†"  # gradiend's marker


def heatmap_size(n: int, longest_label: int = 8, *, around: float = 0.0) -> tuple[float, float]:
    """Width and height in inches at which a heatmap of `n` sets is readable; `around` is for brackets and the like."""
    if n > LABELLED_UP_TO:
        return 8.0 + around, 7.0 + around
    cell = 0.62 if n <= ANNOTATED_UP_TO else 0.22
    side = max(2.2, cell * n) + 0.075 * longest_label
    return side + 1.4 + around, side + 0.7 + around


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
        cluster: Order by clusters and draw their dendrogram above.
        groups: A mapping from label to group or from group to labels. The runs of a group are put side by side, under
            a bracket with its name, in the order of the mapping; runs that it does not name come last, as "Other".
        annot: Whether to write the values into the cells; "auto" does up to 25 sets.
        percentages: Show measures as percentages up to 100 instead of numbers up to 1; counts stay counts.
        scale: How values become colors: "linear", "log" (from the smallest positive value on), "sqrt" or "power".
        scale_gamma: The exponent of the scale "power"; below 1 small values differ more.
        correlation: A number per label, such as each run's correlation, as a column beside the cells.
        converged: Whether a label's run converged; those with False are marked with gradiend's dagger.
        cmap: A matplotlib colormap.
        title: A title above the axes.

    Returns:
        The axes. Labels of more than 40 letters lose their middle; more than 80 sets are drawn without labels.

    Raises:
        InvalidInputError: If `value`, `order` or `scale` is not acceptable, or `groups` names what is no label or a
            label twice.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> [cell.get_text() for cell in plot_heatmap(compute_overlap(sets)).texts]
        ['100', '67', '67', '100']
    """
    import seaborn as sns

    check_overlap(overlap, (Overlap, SeedOverlap))
    check_value(value)
    if not isinstance(annot, bool):
        check_choice("annot", annot, ("auto",))
    for name, by_label in (("correlation", correlation), ("converged", converged)):
        _check_labels(name, by_label, overlap.labels)
    labels, matrix = overlap.labels, np.asarray(overlap.values(value), dtype=float)
    arrangement = arranged(labels, matrix, "cluster" if cluster else order, groups)
    n, rows = len(labels), arrangement.rows
    counts = value == "intersection"
    shown = matrix[np.ix_(rows, rows)] * (100 if percentages and not counts else 1)
    names = [_marked(labels[row], converged) for row in rows]
    around = 0.9 * ((groups is not None) + (correlation is not None) + cluster)
    axes = axes_or_new(ax, heatmap_size(n, max(map(len, names)), around=around))
    with_labels = n <= LABELLED_UP_TO
    annotated = n <= ANNOTATED_UP_TO if annot == "auto" else annot
    fontsize = 9 if n <= 12 else 7  # noqa: PLR2004
    sns.heatmap(
        shown,
        ax=axes,
        annot=annotated,
        fmt=_format(shown, whole=percentages or counts),
        annot_kws={"fontsize": fontsize},
        cmap=cmap,
        norm=_norm(shown, value, scale, scale_gamma, top=None if counts else 100 if percentages else 1),
        square=True,
        linewidths=0.5 if n <= ANNOTATED_UP_TO else 0,
        xticklabels=names if with_labels else False,
        yticklabels=names if with_labels else False,
        cbar_kws={"label": VALUE_TITLES[value] + (" (%)" if percentages and not counts else ""), "shrink": 0.8},
    )
    _style(axes, n, with_labels=with_labels)
    beside = 0.0
    if correlation is not None:
        numbers = [correlation.get(labels[row], np.nan) for row in rows]
        beside = draw_side_bar(axes, numbers, "correlation", annotated=annotated, fontsize=fontsize)
    above = _draw_above(axes, arrangement, beside, tree=cluster)
    if with_labels and any(name.endswith(NOT_CONVERGED) for name in names):
        axes.set_xlabel(f"{NOT_CONVERGED} did not converge", loc="right", fontsize=8)
    if title:
        axes.set_title(title, **above)
    if ax is None and around:
        settle(axes)
    return axes


def _check_labels(name: str, by_label: Mapping[str, object] | None, labels: Sequence[str]) -> None:
    if by_label is None:
        return
    if not isinstance(by_label, Mapping):
        raise InvalidInputError(f"{name} must be a mapping from label; got {type(by_label).__name__}")
    unknown = [label for label in by_label if label not in labels]
    if unknown:
        raise InvalidInputError(f"{name} names {', '.join(map(repr, unknown))}; the labels are {', '.join(labels)}")


def _marked(label: str, converged: Mapping[str, bool | None] | None) -> str:
    marker = NOT_CONVERGED if converged is not None and converged.get(label) is False else ""
    return fitting(label) + marker


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
        # Clipped, so that 0 has the color of the smallest value instead of none.
        return LogNorm(min(float(positive.min(initial=high)), high / 10), high, clip=True)
    if scale == "power" and not gamma > 0:
        raise InvalidInputError(f"scale_gamma must be greater than 0; got {gamma!r}")
    return PowerNorm(0.5 if scale == "sqrt" else gamma, low, high)


def _style(axes: Axes, n: int, *, with_labels: bool) -> None:
    axes.tick_params(axis="both", length=0, labelsize=None if n <= ANNOTATED_UP_TO else 8)
    axes.collections[0].set_rasterized(n > LABELLED_UP_TO)  # else a PDF of 200 runs draws 40,000 squares
    for label in axes.get_xticklabels():
        label.set(rotation=45, ha="right", rotation_mode="anchor")
    for label in axes.get_yticklabels():
        label.set(rotation=0)
    if not with_labels:
        axes.set(xlabel=f"{n} runs", ylabel=f"{n} runs")


def _draw_above(axes: Axes, arrangement: Arrangement, beside: float, *, tree: bool) -> dict[str, Any]:
    """Brackets or a dendrogram; returns where a title goes then."""
    if arrangement.brackets is not None:
        return {"y": NAMES_AT, "pad": 4 + draw_brackets(axes, arrangement.brackets, beside)}
    if tree and arrangement.tree is not None:
        draw_tree(axes, arrangement.tree)
        return {"y": 1.01 + TREE_HEIGHT}
    return {"pad": 6}
