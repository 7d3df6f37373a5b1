"""The overlap as k grows, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.canvas import VALUE_TITLES, axes_or_new, colors, fitting
from gradiend_mlflow.curve import OverlapCurve
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap import Overlap
from gradiend_mlflow.parts import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CurveValue = Literal["intersection", "intersection_frac", "jaccard"]

_NAMED_UP_TO = 10
_DRAWN_UP_TO = 400


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
        The axes, with k on a logarithmic scale. Up to 10 pairs are named; of more, the median and the range that 80 %
        of them lie in are drawn, over thin lines of 400 pairs at most. The dashed line is the mean over pairs of what
        chance would give.

    Raises:
        InvalidInputError: If `curve` is none or has less than two runs, or `value` is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> axes = plot_curve(compute_overlap(sets).overlap_curve([1, 3]))
        >>> axes.lines[0].get_ydata().round(1).tolist(), axes.get_ylabel()
        ([100.0, 66.7], 'shared weights / smaller set (%)')
    """
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
    axes = axes_or_new(ax, (7.0, 4.2))
    if pairs.shape[1] <= _NAMED_UP_TO:
        palette = colors(pairs.shape[1])
        for index, (a, b) in enumerate(zip(rows, columns, strict=True)):
            name = f"{fitting(curve.labels[a], 24)} & {fitting(curve.labels[b], 24)}"
            axes.plot(curve.ks, pairs[:, index], color=palette[index], label=name, marker="o", markersize=3)
    else:
        _draw_many(axes, curve.ks, pairs)
    axes.plot(curve.ks, expected, color="0.3", linestyle="--", linewidth=1, label="by chance")
    axes.set(xscale="log", xlabel="k, the number of weights per run", ylim=(0, None))
    axes.set_ylabel(VALUE_TITLES[value] + ("" if value == "intersection" else " (%)"))
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    if title:
        axes.set_title(title)
    return axes


def _numbers(shared: npt.NDArray[Any], ks: npt.NDArray[np.int64], value: CurveValue) -> npt.NDArray[np.float64]:
    numbers = shared.astype(np.float64)
    size = ks[:, None]
    if value == "intersection":
        return numbers
    return 100 * (numbers / size if value == "intersection_frac" else numbers / (2 * size - numbers))


def _draw_many(axes: Axes, ks: npt.NDArray[np.int64], pairs: npt.NDArray[np.float64]) -> None:
    # Evenly chosen pairs, in the order of their last value: the lowest and the highest are among them.
    by_end = np.argsort(pairs[-1], kind="stable")
    chosen = by_end[np.linspace(0, len(by_end) - 1, min(len(by_end), _DRAWN_UP_TO)).astype(int)]
    from matplotlib.collections import LineCollection

    lines = [np.column_stack([ks, pairs[:, index]]) for index in chosen]
    axes.add_collection(LineCollection(lines, colors="0.75", linewidths=0.4, alpha=0.6, zorder=1))
    low, middle, high = np.quantile(pairs, [0.1, 0.5, 0.9], axis=1)
    axes.fill_between(ks, low, high, alpha=0.25, color="C0", linewidth=0, label="80 % of the pairs", zorder=2)
    axes.plot(ks, middle, color="C0", linewidth=2, label=f"median of {pairs.shape[1]:,} pairs", zorder=3)
