"""A comparison as a run in MLflow: figures, tables, settings and sources, and a description that gives the answer."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradiend_mlflow import tags
from gradiend_mlflow.artifact import installed_version
from gradiend_mlflow.canvas import save
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.labels import TRAINING_RUN
from gradiend_mlflow.measures import Value
from gradiend_mlflow.store import MetricPoint, Store, now_ms
from gradiend_mlflow.venn import VENN_SIZES

if TYPE_CHECKING:
    from gradiend_mlflow.comparison import Comparison

SHARED_EXPERIMENT = "gradiend-comparisons"

_LISTED_RUNS = 200  # ids that fit into one tag
_LISTED_PAIRS = 10
_LISTED_SKIPPED = 20
_SHARES = ("intersection", "intersection_frac", "jaccard")  # what two runs share; the others say how they agree


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
    name = run_name or f"overlap of {len(comparison.shown.labels)} runs, {comparison.part}, top {comparison.topk}"
    run_id = store.create_run(experiment_id, name=name, run_tags=run_tags)
    try:
        store.log_params(
            run_id,
            {
                "part": comparison.part,
                "topk": str(comparison.topk),
                "value": comparison.value,
                "n_runs": str(len(comparison.shown.labels)),
            },
        )
        now, summary = now_ms(), _summary(comparison.to_frame("pairs")[comparison.value])
        store.log_metrics(run_id, [MetricPoint(key, number, now, 0) for key, number in summary.items()])
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
    comparison.runs.drop(columns=["sets", "params", "tags"]).to_csv(folder / "runs.csv", index=False)
    (folder / "comparison.json").write_text(
        json.dumps(_facts(comparison), indent=1, allow_nan=False), encoding="utf-8"
    )
    n = len(comparison.shown.labels)
    title = f"{comparison.part}, top {comparison.topk}"
    save(comparison.plot_heatmap(title=title), folder / "overlap_heatmap")
    if n in VENN_SIZES:
        save(comparison.plot_venn(title=title), folder / "venn")
    return sorted(folder.iterdir())


def _facts(comparison: Comparison) -> dict[str, Any]:
    overlap = comparison.overlap
    columns = ["label", "run_id", "run_name", "experiment", "experiment_id", "base_model", "seed", "converged"]
    known = comparison.runs[columns].astype(object)
    sources = known.where(known.notna(), None).to_dict("records")
    for source, sets in zip(sources, comparison.runs["sets"], strict=True):
        source["sha256"] = sets[comparison.part]["sha256"]
    facts = {
        "part": comparison.part,
        "topk": comparison.topk,
        "value": comparison.value,
        "rbo_p": overlap.rbo_p,
        "labels": list(overlap.labels),
        "sizes": overlap.sizes.tolist(),
        "intersection": overlap.intersection.tolist(),
        "runs": sources,
        "groups": comparison.groups,
        "skipped": [asdict(run) for run in comparison.skipped],
        "notes": list(comparison.notes),
    }
    if comparison.seed_overlap is not None:
        facts["seeds"] = {
            **asdict(comparison.seed_overlap.policy),
            "labels": list(comparison.seed_overlap.labels),
            "members": [[int(row) for row in rows] for rows in comparison.seed_overlap.members],
        }
    return facts


def _summary(numbers: pd.Series[Any]) -> dict[str, float]:
    return {
        "overlap/mean": float(numbers.mean()),
        "overlap/min": float(numbers.min()),
        "overlap/max": float(numbers.max()),
    }


def _note(comparison: Comparison) -> str:
    """The run's description in the MLflow UI: the answer in a sentence, the top pairs, links, what to know of them."""
    pairs, value = comparison.to_frame("pairs"), comparison.value
    mean, low, high = (_shown(value, number) for number in _summary(pairs[value]).values())
    top = f"their top {comparison.topk} weights"
    answer = f"Two runs share {mean} of {top} on average"
    if value not in _SHARES:
        answer = f"Two runs agree to {mean} in {top} on average"
    compared = f"{len(comparison.shown.labels)} runs"
    if comparison.seed_overlap is not None:
        compared += f", {comparison.seed_overlap.policy.seed_aggregate} over {len(comparison.runs)} seeds"
    lines = [
        f"**{answer}** (of {compared}; {comparison.part}; {value}, from {low} to {high}).",
        "",
        *_pair_lines(comparison, pairs.head(_LISTED_PAIRS)),
    ]
    if len(pairs) > _LISTED_PAIRS:
        lines += ["", f"The {_LISTED_PAIRS} most overlapping of {len(pairs)} pairs; all are in matrix.csv."]
    sizes = comparison.overlap.sizes
    if sizes.min() != sizes.max():
        lines += ["", f"The sets differ in size: they hold {sizes.min():,} to {sizes.max():,} weights."]
    if comparison.notes:
        lines += ["", *(f"* {_escaped(note)}" for note in comparison.notes)]
    if comparison.skipped:
        lines += ["", f"**Skipped**, {len(comparison.skipped)} that were asked for:", ""]
        lines += [
            # Shortened, because a description holds 8000 characters; comparison.json has the whole.
            f"* {_escaped(run.name)} ({run.run_id}): {_escaped(textwrap.shorten(run.reason, 160, placeholder=' …'))}"
            for run in comparison.skipped[:_LISTED_SKIPPED]
        ]
        if len(comparison.skipped) > _LISTED_SKIPPED:
            lines.append(f"* and {len(comparison.skipped) - _LISTED_SKIPPED} more, in comparison.json")
    return "\n".join(lines)


def _pair_lines(comparison: Comparison, pairs: pd.DataFrame) -> list[str]:
    """The table of pairs, with what chance would give; of aggregated seeds with their spread."""
    links, value = _links(comparison), comparison.value
    titles = {"intersection": "shared weights", "expected": "by chance", "q_value": "q-value"}
    columns = [name for name in map(str, pairs.columns) if name not in ("a", "b", "lift", "p_value")]
    if value != "intersection" and "intersection" in columns:  # the count before what is made of it
        columns = ["intersection", value, *(name for name in columns if name not in ("intersection", value))]
    lines = [
        f"| run | run | {' | '.join(titles.get(name, name) for name in columns)} |",
        f"|---|---|{'---:|' * len(columns)}",
    ]
    for row in pairs.to_dict("records"):
        cells = [_cell(name, value, row[name]) for name in columns]
        lines.append(f"| {links[row['a']]} | {links[row['b']]} | {' | '.join(cells)} |")
    return lines


def _cell(column: str, value: Value, number: float) -> str:
    if column in ("intersection", "seed_pairs"):
        return f"{number:,.0f}"
    if column in ("expected", "q_value"):
        return f"{number:.2g}"
    return _shown(value, number)


def _links(comparison: Comparison) -> dict[str, str]:
    """Each label as a link to its run: that of the training, where the seeds are aggregated."""
    rows = comparison.runs.to_dict("records")
    if comparison.seed_overlap is None:
        targets = {row["label"]: (row["experiment_id"], row["run_id"]) for row in rows}
    else:
        firsts = [rows[members[0]] for members in comparison.seed_overlap.members]
        targets = {
            label: (row["experiment_id"], row[TRAINING_RUN])
            for label, row in zip(comparison.seed_overlap.labels, firsts, strict=True)
        }
    return {
        label: f"[{_escaped(label)}](#/experiments/{experiment_id}/runs/{run_id})"
        for label, (experiment_id, run_id) in targets.items()
    }


def _shown(value: Value, number: float) -> str:
    # An aggregate of counts may lie between two.
    return f"{number:,.1f}".removesuffix(".0") if value == "intersection" else f"{number:.1%}"


def _escaped(label: str) -> str:
    """A label that Markdown's tables and links take literally."""
    return re.sub(r"([|\[\]_*`\\])", r"\\\1", label)
