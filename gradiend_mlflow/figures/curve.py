"""The overlap as k grows, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.canvas import VALUE_TITLES, axes_or_new, check_place, colors, shade
from gradiend_mlflow.figures.layout import lay_out, set_title, slot_size
from gradiend_mlflow.figures.text import fitting, spell_out, wrapped
from gradiend_mlflow.overlap.curve import OverlapCurve
from gradiend_mlflow.overlap.overlap import Overlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CurveValue = Literal["intersection", "intersection_frac", "jaccard"]

_NAMED_UP_TO = 10
_DRAWN_UP_TO = 400
_LONGEST_NAME = 24
_SHARE_OF_NAMES = 0.45  # of the width, at most
_LETTER = 0.065  # inches
_DASH = 4


def plot_curve(
    curve: OverlapCurve | Overlap,
    ax: Axes | None = None,
    *,
    value: CurveValue = "intersection_frac",
    title: str | None = None,
) -> Axes:
    """Draw how the overlap of every pair grows with k, beside what chance would give.

    Args:
        curve: Of `overlap_curve`, or an overlap whose curve is taken.
        ax: Where to draw; default the axes of a new figure, which pyplot does not know.
        value: "intersection_frac", "intersection" (a count) or "jaccard".
        title: A title above the axes.

    Returns:
        The axes, with k on a logarithmic scale. Up to 10 pairs are named, and those with the same curve take turns
        along it; of more, the median and the range that 80 % of them lie in are drawn, over thin lines of 400 pairs
        at most. The thin dashed line is the mean over pairs of what chance would give. Where sets are of different
        sizes the label below says at which the curve ends.

    Raises:
        InvalidInputError: If `curve` is none or has less than two runs, or `value` is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> axes = plot_curve(compute_overlap(sets).overlap_curve([1, 3]))
        >>> axes.lines[0].get_ydata().round(1).tolist(), axes.get_ylabel()
        ([100.0, 66.7], 'shared weights / smaller set (%)')
    """
    check_place(title, ax=ax)
    if isinstance(curve, Overlap):
        curve = curve.overlap_curve()
    if not isinstance(curve, OverlapCurve):
        raise InvalidInputError(f"expected an OverlapCurve or an Overlap; got {type(curve).__name__}")
    if len(curve.labels) < 2:  # noqa: PLR2004
        raise InvalidInputError("a curve is one of pairs: it needs at least two runs")
    check_choice("value", value, get_args(CurveValue))
    rows, columns = np.triu_indices(len(curve.labels), k=1)
    pairs = _numbers(curve.intersection[:, rows, columns], curve.ks, value)  # one column per pair
    expected = _numbers(curve.expected[:, rows, columns], curve.ks, value).mean(axis=1)
    room = (7.0 if ax is None else slot_size(ax)[0]) * _SHARE_OF_NAMES
    names = _names(curve, max(int(room / _LETTER - 3) // 2, 6)) if pairs.shape[1] <= _NAMED_UP_TO else []
    beside = _LETTER * max(map(len, [*names, "median of 1,000 pairs"])) + 0.5
    axes = axes_or_new(ax, (4.9 + beside, 4.2))
    handles = _draw_pairs(axes, curve.ks, pairs, names) if names else _draw_many(axes, curve.ks, pairs)
    handles += axes.plot(
        curve.ks, expected, color=shade(axes.figure, 0.7), linestyle="--", linewidth=1, label="by chance"
    )
    axes.set(xscale="log", xlabel="k, the number of weights per run", ylim=(0, None))
    if end := _end(curve):
        axes.set_xlabel(f"{axes.get_xlabel()}\n{wrapped(end, max(int(slot_size(axes)[0] / _LETTER * 0.5), 20))}")
    axes.set_ylabel(VALUE_TITLES[value] + ("" if value == "intersection" else " (%)"))
    axes.margins(x=0.02)
    if len(curve.ks) == 1:
        axes.set_xlim(curve.ks[0] / 2, curve.ks[0] * 2)
        axes.set_xticks(curve.ks, [f"{curve.ks[0]:,}"])
        axes.set_xticks([], minor=True)
    if not pairs.any():  # else what chance would give, however little, is all that is seen
        axes.set_ylim(0, max(1.0, 1.05 * float(expected.max())))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=shade(axes.figure, 0.08))
    axes.set_axisbelow(True)
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    if title:
        set_title(axes, title)
    spell_out(axes)
    if ax is not None:
        lay_out(axes)
    return axes


def _names(curve: OverlapCurve, longest: int) -> list[str]:
    labels = fitting(curve.labels, min(longest, _LONGEST_NAME))
    return [f"{labels[a]} & {labels[b]}" for a, b in zip(*np.triu_indices(len(labels), k=1), strict=True)]


def _end(curve: OverlapCurve) -> str:
    """Why the curve ends where it does, if some runs have more weights."""
    least, most = int(curve.sizes.min()), int(curve.sizes.max())
    if curve.ks[-1] < least or least == most:
        return ""
    smallest = fitting(curve.labels, 30)[int(np.argmin(curve.sizes))]
    return f"(up to the {least:,} of the smallest set, {smallest}; the largest has {most:,})"


def _numbers(shared: npt.NDArray[Any], ks: npt.NDArray[np.int64], value: CurveValue) -> npt.NDArray[np.float64]:
    numbers = shared.astype(np.float64)
    size = ks[:, None]
    if value == "intersection":
        return numbers
    return 100 * (numbers / size if value == "intersection_frac" else numbers / (2 * size - numbers))


def _draw_pairs(axes: Axes, ks: npt.NDArray[np.int64], pairs: npt.NDArray[np.float64], names: list[str]) -> list[Any]:
    """A line per pair; lines that are the same share their way, in turns of dashes and markers."""
    from matplotlib.lines import Line2D

    _, same = np.unique(pairs, axis=1, return_inverse=True)
    handles = []
    for index, (name, color) in enumerate(zip(names, colors(len(names)), strict=True)):
        peers = np.flatnonzero(same.ravel() == same.ravel()[index])
        turn, turns = int(np.searchsorted(peers, index)), len(peers)
        rings = len(ks) < turns  # so few markers that no turns can be taken: one around the other
        axes.plot(
            ks,
            pairs[:, index],
            color=color,
            label=name,
            linestyle="-" if turns == 1 else (_DASH * (turns - 1 - turn), (_DASH, _DASH * (turns - 1))),
            marker="o",
            markersize=3 + 3 * (turns - 1 - turn) * rings,
            markevery=None if rings else (turn, turns),
            dash_capstyle="butt",
            clip_on=False,
            zorder=3,
        )
        handles.append(Line2D([], [], color=color, label=name, marker="o", markersize=3))
    return handles


def _draw_many(axes: Axes, ks: npt.NDArray[np.int64], pairs: npt.NDArray[np.float64]) -> list[Any]:
    """The median and the range of most pairs, over thin lines of evenly chosen ones."""
    from matplotlib.collections import LineCollection

    # In the order of their last value: the lowest and the highest are among them.
    by_end = np.argsort(pairs[-1], kind="stable")
    chosen = by_end[np.linspace(0, len(by_end) - 1, min(len(by_end), _DRAWN_UP_TO)).astype(int)]
    lines = [np.column_stack([ks, pairs[:, index]]) for index in chosen]
    axes.add_collection(LineCollection(lines, colors=shade(axes.figure, 0.25), linewidths=0.4, alpha=0.6, zorder=1))
    low, middle, high = np.quantile(pairs, [0.1, 0.5, 0.9], axis=1)
    label = f"median of {pairs.shape[1]:,} pairs"
    band = axes.fill_between(ks, low, high, alpha=0.25, color="C0", linewidth=0, label="80 % of the pairs", zorder=2)
    return [*axes.plot(ks, middle, color="C0", linewidth=2, label=label, clip_on=False, zorder=3), band]
