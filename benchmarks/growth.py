"""How time and memory grow with runs, weights and inputs: `python -m benchmarks.growth [--quick]`.

Against the number of runs N: overlap matrices, and whole comparisons out of a database. Against the weights per set k:
overlap matrices. Against the inputs of a GRADIEND D: ranking its checkpoint. The picture is docs/images/growth.png
(quick: among the results), the slopes are those of log against log over the largest decade.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import billion, comparing, overlap
from benchmarks.harness import RESULTS, Outcome, Row, run_and_report
from benchmarks.pulling import STORED
from gradiend_mlflow.figures.drawing.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
_AXES = {"N": "N, number of runs", "k": "k, weights per set", "D": "D, inputs of the GRADIEND"}
_MEASURES = {"seconds": "time (s)", "gigabytes": "peak anonymous memory (GB)"}
_DECADE = 10
_MARKERS = "os^"


@dataclass(frozen=True)
class Curve:
    """What some work took as one size grew; `gigabytes` is empty where memory is not told."""

    axis: str
    work: str
    sizes: Sequence[float]
    seconds: Sequence[float]
    gigabytes: Sequence[float]


def run(*, quick: bool) -> Outcome:
    """Measure the curves, draw them, and tell their ends and slopes."""
    curves = [*_overlaps(quick=quick), *_comparisons(quick=quick), *_rankings(quick=quick)]
    return outcome(curves, RESULTS / "growth.png" if quick else _PICTURE)


def outcome(curves: Sequence[Curve], picture: Path) -> Outcome:
    """The picture, and the table of the curves' largest sizes with their slopes."""
    draw(curves, picture)
    rows = [
        row
        for curve in curves
        for values, what, unit in (
            (curve.seconds, f"{curve.work}, {curve.axis} = {curve.sizes[-1]:,}", "s"),
            (curve.gigabytes, "its peak anonymous memory", "GB"),
        )
        if values
        for row in (
            Row(what, unit, {"ours": [values[-1]]}),
            Row(f"it grows with {curve.axis} to the power of", "", {"ours": [slope(curve.sizes, values)]}),
        )
    ]
    note = (
        "Growth: powers are slopes of log against log over the largest decade; memory beyond what a fresh process "
        "has, of comparisons the whole process's; the overlap's with the making of the sets."
    )
    return Outcome(rows, [note], {"curves": [asdict(curve) for curve in curves]})


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent with which values grow, over the largest decade: below it, what is constant hides it.

    Where sizes are further apart, over the last two; NaN of one size.
    """
    if len(sizes) < 2:  # noqa: PLR2004
        return float("nan")
    x, y = np.log10(sizes), np.log10(values)
    late = x >= x[-1] - np.log10(_DECADE) - 1e-9
    late[-2:] = True
    return float(np.polyfit(x[late], y[late], 1)[0])


def draw(curves: Sequence[Curve], picture: Path) -> None:
    """Seconds above, memory below; a column for each of N, k and D."""
    figure = new_figure((12, 7.6))
    axes = figure.subplots(len(_MEASURES), len(_AXES), sharey="row")
    for row, (measure, title) in zip(axes, _MEASURES.items(), strict=True):
        row[0].set_ylabel(title)
        for ax, (axis, name) in zip(row, _AXES.items(), strict=True):
            _panel(ax, [curve for curve in curves if curve.axis == axis], measure)
            ax.set_xlabel(name)
    figure.savefig(picture, dpi=110)


def _panel(ax: Axes, curves: Sequence[Curve], measure: str) -> None:
    for number, curve in enumerate(curves):
        values = getattr(curve, measure)
        if values:
            label = f"{curve.work}: ${curve.axis}^{{{slope(curve.sizes, values):.2f}}}$"
            ax.plot(curve.sizes, values, marker=_MARKERS[number % len(_MARKERS)], markersize=4, label=label)
    ax.set(xscale="log", yscale="log")
    ax.grid(visible=True, which="major", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.lines:
        # Above the curves, in room of its own: they rise to the right and leave none in a corner for sure.
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.2)


def _overlaps(*, quick: bool) -> Iterator[Curve]:
    for axis, curves in overlap.growth_samples(quick=quick).items():
        for fixed, samples in curves.items():
            work = f"overlap, {'k' if axis == 'N' else 'N'} = {fixed:,}"
            gigabytes = [sample["bytes"] / 1e9 for sample in samples if "bytes" in sample]
            yield Curve(axis, work, [one["x"] for one in samples], [one["seconds"] for one in samples], gigabytes)


def _comparisons(*, quick: bool) -> Iterator[Curve]:
    if comparing.is_measurable():
        samples = comparing.growth_samples(quick=quick)
        seconds = [median(one.seconds for one in taken) for taken in samples.values()]
        gigabytes = [median(one.peak for one in taken) / 1e9 for taken in samples.values()]
        yield Curve("N", f"compare(), k = {STORED:,}", list(samples), seconds, gigabytes)


def _rankings(*, quick: bool) -> Iterator[Curve]:
    samples = billion.samples(quick=quick)
    for topk in billion.TOPKS:
        these = [sample for sample in samples if sample.topk == topk]
        gigabytes = [sample.peak / 1e9 for sample in these if sample.peak is not None]
        seconds = [median(sample.seconds) for sample in these]
        yield Curve("D", f"rank, {billion.named(topk)}", [one.inputs for one in these], seconds, gigabytes)


if __name__ == "__main__":
    run_and_report("growth", [run])
