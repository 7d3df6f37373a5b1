"""The overlap as k grows, as lines."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import check_arguments, colors, new_figure, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, set_title
from gradiend_mlflow.figures.drawing.text import single_line, wrapped
from gradiend_mlflow.overlap.curve import OverlapCurve
from gradiend_mlflow.overlap.measures import VALUE_TITLES
from gradiend_mlflow.overlap.overlap import Overlap

CurveValue = Literal["intersection", "intersection_frac", "jaccard"]

_NAMED_UP_TO = 5  # runs, which are ten pairs
_DRAWN_UP_TO = 400
_LONGEST_NAME = 24
_SHARE_OF_LEGEND = 0.45  # of the width, at most
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
        curve: The result of `overlap_curve`, or an overlap, whose curve is drawn.
        ax: Where to draw; default the axes of a new figure, which is unknown to pyplot.
        value: "intersection_frac", "intersection" (a count) or "jaccard".
        title: A title above the axes.

    Returns:
        The axes, with k on a logarithmic scale. Up to 10 pairs are named, and pairs with the same curve take turns
        along it. Of more pairs, the median and the range of 80 % are drawn, over thin lines of at most 400. The thin
        dashed line is what chance would give, averaged over pairs. If the sets differ in size, the label below says
        at which of them the curve ends.

    Raises:
        InvalidInputError: If `curve` is not a curve or has fewer than two runs, or `value` is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> axes = plot_curve(compute_overlap(sets).overlap_curve([1, 3]))
        >>> axes.lines[0].get_ydata().round(1).tolist(), axes.get_ylabel()
        ([100.0, 66.7], 'shared weights / smaller set (%)')
    """
    check_arguments(curve, (OverlapCurve, Overlap), title, ax=ax)
    check_choice("value", value, get_args(CurveValue))
    if isinstance(curve, Overlap):
        curve = curve.overlap_curve()
    ks, n = curve.ks, len(curve.labels)
    if n < 2:  # noqa: PLR2004
        raise InvalidInputError("a curve needs at least two runs, because it shows how far pairs agree")
    rows, columns = np.triu_indices(n, k=1)
    pairs = _numbers(curve.intersection[:, rows, columns], ks, value)  # shape (K, number of pairs)
    expected = _numbers(curve.expected[:, rows, columns], ks, value).mean(axis=1)
    legend = (7.0 if ax is None else cell_size(ax)[0]) * _SHARE_OF_LEGEND
    longest = min(max(int(legend / _LETTER - 3) // 2, 6), _LONGEST_NAME)
    short = single_line(curve.labels, longest)
    names = [f"{short[a]} & {short[b]}" for a, b in zip(rows, columns, strict=True)] if n <= _NAMED_UP_TO else []
    width = 4.9 + _LETTER * max(map(len, [*names, "median of 1,000 pairs"])) + 0.5

    axes = new_figure((width, 4.2)).add_subplot() if ax is None else ax
    handles = _draw_pairs(axes, ks, pairs, names) if names else _draw_many(axes, ks, pairs)
    handles += axes.plot(ks, expected, color=shade(axes.figure, 0.7), linestyle="--", linewidth=1, label="by chance")
    footnote = wrapped(_end(curve), max(int(cell_size(axes)[0] / _LETTER * 0.5), 20))
    axes.set(
        xscale="log",
        xlabel=f"k, the number of weights per run\n{footnote}".rstrip(),
        ylabel=VALUE_TITLES[value] + ("" if value == "intersection" else " (%)"),
        axisbelow=True,
    )
    axes.margins(x=0.02)
    # If no pair agrees, the axis does not end at what chance would give, which is next to nothing.
    axes.set_ylim(0, None if pairs.any() else max(1.0, 1.05 * float(expected.max())))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=shade(axes.figure, 0.08))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    set_title(axes, title)
    if ax is not None:
        lay_out(axes)
    return axes


def _end(curve: OverlapCurve) -> str:
    """Why the curve ends where it does, if some runs have more weights."""
    least, most = int(curve.sizes.min()), int(curve.sizes.max())
    if curve.ks[-1] < least or least == most:
        return ""
    smallest = single_line(curve.labels, 30)[int(np.argmin(curve.sizes))]
    return f"(up to the {least:,} of the smallest set, {smallest}; the largest has {most:,})"


def _numbers(shared: npt.NDArray[Any], ks: npt.NDArray[np.int64], value: CurveValue) -> npt.NDArray[np.float64]:
    """The values of `shared` weights; shape (K, number of pairs), in percent apart from counts."""
    size = ks[:, None]
    if value == "intersection":
        return shared.astype(np.float64)
    return 100 * shared / (size if value == "intersection_frac" else 2 * size - shared)


def _draw_pairs(axes: Axes, ks: npt.NDArray[np.int64], pairs: npt.NDArray[np.float64], names: list[str]) -> list[Any]:
    """Draw a line per pair; equal lines take turns, in dashes and in markers. Returns what the legend shows."""
    _, line_of = np.unique(pairs, axis=1, return_inverse=True)
    handles = []
    for index, (name, color) in enumerate(zip(names, colors(len(names)), strict=True)):
        equal = np.flatnonzero(line_of.ravel() == line_of.ravel()[index]).tolist()
        turn, turns = equal.index(index), len(equal)
        rings = len(ks) < turns  # too few markers to take turns: they become rings around each other
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
    """Draw the median and the range of most pairs over thin lines of some. Returns what the legend shows."""
    # Evenly chosen by their last values: the lowest and the highest are among them.
    by_end = np.argsort(pairs[-1], kind="stable")
    chosen = by_end[np.linspace(0, len(by_end) - 1, min(len(by_end), _DRAWN_UP_TO)).astype(int)]
    lines = [np.column_stack([ks, pairs[:, index]]) for index in chosen]
    axes.add_collection(LineCollection(lines, colors=shade(axes.figure, 0.25), linewidths=0.4, alpha=0.6, zorder=1))
    low, middle, high = np.quantile(pairs, [0.1, 0.5, 0.9], axis=1)
    label = f"median of {pairs.shape[1]:,} pairs"
    band = axes.fill_between(ks, low, high, alpha=0.25, color="C0", linewidth=0, label="80 % of the pairs", zorder=2)
    return [*axes.plot(ks, middle, color="C0", linewidth=2, label=label, clip_on=False, zorder=3), band]
