"""A comparison as a run in MLflow: figures, tables, settings and sources, and a description that gives the answer."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiend_mlflow import tags
from gradiend_mlflow.artifact import installed_version
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.figures import VENN_SIZES, heatmap_size
from gradiend_mlflow.measures import Value
from gradiend_mlflow.store import MetricPoint, Store, now_ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradiend_mlflow.comparison import Comparison

SHARED_EXPERIMENT = "gradiend-comparisons"

_LISTED_RUNS = 200  # ids that fit into one tag
_LISTED_PAIRS = 10


def log_comparison(comparison: Comparison, store: Store, *, log_to: str | None, run_name: str | None) -> str:
    """Log a comparison as a run of its own and return its id; see `compare` for where and what.

    Raises:
        StoreError: If MLflow refuses or cannot be reached; a run that was begun is then FAILED.
    """
    runs = comparison.runs
    experiments = list(dict.fromkeys(runs["experiment_id"]))
    if log_to is None and len(experiments) == 1:
        experiment_id = experiments[0]
    else:
        experiment_id = store.experiment_id(log_to or SHARED_EXPERIMENT)
    run_tags = {
        tags.KIND: tags.COMPARISON,
        tags.PLUGIN_VERSION: installed_version("gradiend-mlflow"),
        tags.MLFLOW_NOTE: _note(comparison),
    }
    if len(runs) <= _LISTED_RUNS:
        run_tags[tags.SOURCE_RUNS] = json.dumps(list(runs["run_id"]))
    name = run_name or f"overlap of {len(runs)} runs, {comparison.part}, top {comparison.topk}"
    run_id = store.create_run(experiment_id, name=name, run_tags=run_tags)
    try:
        store.log_params(
            run_id,
            {
                "part": comparison.part,
                "topk": str(comparison.topk),
                "value": comparison.value,
                "n_runs": str(len(runs)),
            },
        )
        now = now_ms()
        store.log_metrics(run_id, [MetricPoint(key, number, now, 0) for key, number in _summary(comparison).items()])
        with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder:
            for file in _written(comparison, Path(folder)):
                store.upload(run_id, file, None)
    except BaseException:
        with contextlib.suppress(StoreError):  # the first error is the one to tell
            store.end_run(run_id, "FAILED")
        raise
    store.end_run(run_id, "FINISHED")
    return run_id


def _written(comparison: Comparison, folder: Path) -> list[Path]:
    """The comparison's files, in `folder`."""
    comparison.matrix.to_csv(folder / "matrix.csv")
    comparison.runs.drop(columns="sets").to_csv(folder / "runs.csv", index=False)
    (folder / "comparison.json").write_text(
        json.dumps(_facts(comparison), indent=1, allow_nan=False), encoding="utf-8"
    )
    n = len(comparison.runs)
    title = f"{comparison.part}, top {comparison.topk}"
    size = heatmap_size(n, max(map(len, comparison.overlap.labels)))
    _draw(lambda ax: comparison.plot_heatmap(ax, title=title), size, folder / "overlap_heatmap")
    if n in VENN_SIZES:
        _draw(lambda ax: comparison.plot_venn(ax, title=title), VENN_SIZES[n], folder / "venn")
    return sorted(folder.iterdir())


def _draw(plot: Callable[[Axes], Axes], size: tuple[float, float], path: Path) -> None:
    """Save a plot as PNG and PDF, apart from pyplot and whatever figures the user has open there."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    plot(figure.subplots())
    figure.savefig(path.with_suffix(".png"), dpi=150)
    figure.savefig(path.with_suffix(".pdf"))


def _facts(comparison: Comparison) -> dict[str, Any]:
    overlap = comparison.overlap
    columns = ["label", "run_id", "run_name", "experiment", "experiment_id", "base_model", "seed", "converged"]
    known = comparison.runs[columns].astype(object)
    sources = known.where(known.notna(), None).to_dict("records")
    for source, sets in zip(sources, comparison.runs["sets"], strict=True):
        source["sha256"] = sets[comparison.part]["sha256"]
    return {
        "part": comparison.part,
        "topk": comparison.topk,
        "value": comparison.value,
        "labels": list(overlap.labels),
        "sizes": overlap.sizes.tolist(),
        "intersection": overlap.intersection.tolist(),
        "runs": sources,
    }


def _pairs(comparison: Comparison) -> list[tuple[str, str, int, float]]:
    """Every pair of runs with its shared weights and its value, most overlapping first."""
    overlap, matrix = comparison.overlap, comparison.overlap.values(comparison.value)
    rows, columns = np.triu_indices(len(overlap.labels), k=1)
    order = np.argsort(-matrix[rows, columns], kind="stable")
    return [
        (overlap.labels[i], overlap.labels[j], int(overlap.intersection[i, j]), float(matrix[i, j]))
        for i, j in zip(rows[order], columns[order], strict=True)
    ]


def _summary(comparison: Comparison) -> dict[str, float]:
    numbers = [number for *_, number in _pairs(comparison)]
    return {
        "overlap/mean": float(np.mean(numbers)),
        "overlap/min": min(numbers),
        "overlap/max": max(numbers),
    }


def _note(comparison: Comparison) -> str:
    """The run's description in the MLflow UI: the answer in a sentence, the top pairs, links to the runs."""
    pairs, summary = _pairs(comparison), _summary(comparison)
    mean, low, high = (_shown(comparison.value, summary[f"overlap/{name}"]) for name in ("mean", "min", "max"))
    links = {
        row["label"]: f"[{_escaped(row['label'])}](#/experiments/{row['experiment_id']}/runs/{row['run_id']})"
        for _, row in comparison.runs.iterrows()
    }
    answer = f"**Two runs share {mean} of their top {comparison.topk} weights on average**"
    lines = [
        f"{answer} (of {len(links)} runs; {comparison.part}; {comparison.value}, from {low} to {high}).",
        "",
        f"| run | run | shared weights | {comparison.value} |",
        "|---|---|---:|---:|",
    ]
    for a, b, count, number in pairs[:_LISTED_PAIRS]:
        lines.append(f"| {links[a]} | {links[b]} | {count:,} | {_shown(comparison.value, number)} |")
    if len(pairs) > _LISTED_PAIRS:
        lines += ["", f"The {_LISTED_PAIRS} most overlapping of {len(pairs)} pairs; all are in comparison.json."]
    sizes = comparison.overlap.sizes
    if sizes.min() != sizes.max():
        lines += ["", f"The sets differ in size: they hold {sizes.min():,} to {sizes.max():,} weights."]
    return "\n".join(lines)


def _shown(value: Value, number: float) -> str:
    return f"{number:,.0f}" if value == "intersection" else f"{number:.1%}"


def _escaped(label: str) -> str:
    """A label that Markdown's tables and links take literally."""
    return re.sub(r"([|\[\]_*`\\])", r"\\\1", label)
