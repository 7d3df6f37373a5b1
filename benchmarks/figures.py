"""Figures of many runs, from their sets to the file: `python -m benchmarks.figures [--quick]`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from gradiend.visualizer import plot_topk_overlap_heatmap

from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from benchmarks.overlap import AnsweringModel
from benchmarks.sets import ranked_sets
from gradiend_mlflow import TopKSet, compute_overlap, plot_heatmap, plot_upset
from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.report import write_report
from gradiend_mlflow.runs.labels import TRAINING_RUN

_K = 1000
_STORED = 10_000  # what the report's slider goes up to
_DPI = 150

Sets = Mapping[str, TopKSet]


def run(*, quick: bool) -> Outcome:
    """Time a heatmap of 200 runs, an UpSet plot of 30 and a report of 100 (quick: fewer repetitions)."""
    mpl.use("Agg")  # the peer draws with pyplot
    repetitions = 3 if quick else 7
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        progress("figures: making sets")
        heatmap = _heatmap_times(ranked_sets("relatives", 200, _K), Path(folder, "heatmap.png"), repetitions)
        upset = _times(_upset, ranked_sets("relatives", 30, _K), Path(folder, "upset.png"), repetitions)
        report = _times(_report, ranked_sets("relatives", 100, _STORED), Path(folder, "report.html"), repetitions)
    rows = [
        Row(f"heatmap of 200 runs, k = {_K:,}, as PNG", "s", heatmap, always_full=True),
        Row(f"UpSet plot of 30 runs, k = {_K:,}, as PNG", "s", upset, always_full=True),
        Row(f"report.html of 100 runs, k = {_K:,} of {_STORED:,}", "s", report, always_full=True),
    ]
    return Outcome(rows, ["Figures: each from the sets, the overlap's computation included."])


def _heatmap(sets: Sets, file: Path) -> Any:
    overlap = compute_overlap(sets)
    plot_heatmap(overlap, value="intersection").savefig(file, dpi=_DPI)
    return overlap.intersection


def _upset(sets: Sets, file: Path) -> None:
    plot_upset(compute_overlap(sets)).savefig(file, dpi=_DPI)


def _report(stored: Sets, file: Path) -> None:
    sets = {label: topk_set.top(_K) for label, topk_set in stored.items()}
    runs = pd.DataFrame({"label": list(sets), "run_id": list(sets), TRAINING_RUN: list(sets), "seed": None})
    comparison = Comparison(compute_overlap(sets), sets, stored, runs, "decoder-weight", _K, "intersection_frac")
    write_report(comparison, file)


def _heatmap_times(sets: Sets, file: Path, repetitions: int) -> dict[str, list[float]]:
    models = {label: AnsweringModel(topk_set) for label, topk_set in sets.items()}

    def peer() -> Any:
        from matplotlib import pyplot as plt

        data = plot_topk_overlap_heatmap(
            models, topk=_K, percentages=False, show=False, output_path=str(file.with_stem("peer"))
        )
        plt.close("all")
        return data["matrix"]

    def check(results: Mapping[str, Any]) -> None:
        if "peer" in results:
            require(np.array_equal(results["ours"], results["peer"]), "ours and the peer's counts differ")

    _heatmap(sets, file)  # the first figure loads matplotlib's parts
    return alternate({"ours": lambda: _heatmap(sets, file), "peer": peer}, {"ours": repetitions, "peer": 1}, check)


def _times(draw: Any, sets: Sets, file: Path, repetitions: int) -> dict[str, list[float]]:
    def check(_: Mapping[str, Any]) -> None:
        require(file.stat().st_size > 0, f"{file.name} is empty")
        file.unlink()

    draw(sets, file)
    return alternate({"ours": lambda: draw(sets, file)}, {"ours": repetitions}, check)


if __name__ == "__main__":
    run_and_report("figures", [run])
