"""What a comparison is called in MLflow's lists, and the description of its run."""

from __future__ import annotations

import re
import sys
import textwrap
from typing import TYPE_CHECKING

import pandas as pd

from gradiend_mlflow.comparison.labels import TRAINING_RUN
from gradiend_mlflow.overlap.measures import Value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.parts import shown_topk

if TYPE_CHECKING:
    from gradiend_mlflow.comparison.comparison import Comparison

_LISTED_PAIRS = 10
_LISTED_SKIPPED = 20
_NAMED_RUNS = 3
_NAME_LENGTH = 60
_DESCRIPTION_LENGTH = 7900  # MLflow's tags hold 8000 characters
_SHARES = ("intersection", "intersection_frac")  # what two runs share of their weights; the others say how they agree


def summary_of(comparison: Comparison) -> dict[str, float]:
    """The numbers by which comparisons are searched and charted, by metric key.

    The lift is that of all pairs together: their shared weights over those that chance would give. It is not defined
    for aggregated seeds.
    """
    pairs = comparison.pairs
    numbers = pairs[comparison.value]
    summary = {
        "overlap/mean": float(numbers.mean()),
        "overlap/min": float(numbers.min()),
        "overlap/max": float(numbers.max()),
    }
    if "expected" in pairs and pairs["expected"].sum() > 0:
        summary["overlap/lift"] = float(pairs["intersection"].sum() / pairs["expected"].sum())
    return summary


def name_of_comparison(comparison: Comparison) -> str:
    """Who is compared, the answer, and of what: first what tells comparisons apart, since lists cut names."""
    labels, value = comparison.shown.labels, comparison.value
    who, details = ", ".join(labels), [f"top {shown_topk(comparison.topk)}", comparison.part]
    if len(labels) > _NAMED_RUNS or len(who) > _NAME_LENGTH:
        experiments = list(dict.fromkeys(comparison.runs["experiment"]))
        who = f"{len(labels)} runs"
        details.append(experiments[0] if len(experiments) == 1 else f"{len(experiments)} experiments")
    if comparison.groups is not None:
        groups = list(dict.fromkeys(comparison.groups.values()))
        who += f" in {len(groups)} group{'s' if len(groups) > 1 else ''}"
        details.append("groups " + textwrap.shorten(", ".join(groups), _NAME_LENGTH, placeholder=", …"))
    if comparison.seed_overlap is not None:
        details.append(f"{comparison.seed_overlap.policy.seed_aggregate} over seeds")
    mean = _shown(value, summary_of(comparison)["overlap/mean"])
    answer = f" share {mean}" if value in _SHARES else f": {value} {mean}"
    return f"{who}{answer} ({', '.join(details)})"


def description_of(comparison: Comparison) -> str:
    """The description: the answer in a sentence, the top pairs, what to know of them, links to all runs."""
    pairs = comparison.pairs
    lines = [*_answer(comparison), "", *_pair_lines(comparison, pairs.head(_LISTED_PAIRS))]
    if len(pairs) > _LISTED_PAIRS:
        lines += ["", f"The {_LISTED_PAIRS} most overlapping of {len(pairs):,} pairs; all are in matrix.csv."]
    lines += ["", "To look at: overlap_heatmap.png, and report.html with every pair and k."]
    sizes = comparison.overlap.sizes
    if sizes.min() != sizes.max():
        lines += ["", f"The sets differ in size: they hold {sizes.min():,} to {sizes.max():,} weights."]
    if comparison.notes:
        lines += ["", *(f"* {_escaped(textwrap.shorten(note, 600, placeholder=' …'))}" for note in comparison.notes)]
    lines += _skipped_lines(comparison)
    return "\n".join(lines) + _run_links(comparison, _DESCRIPTION_LENGTH - sum(len(line) + 1 for line in lines))


def _answer(comparison: Comparison) -> list[str]:
    value, summary = comparison.value, summary_of(comparison)
    mean, low, high = (_shown(value, summary[f"overlap/{key}"]) for key in ("mean", "min", "max"))
    top = shown_topk(comparison.topk)
    top = f"their top {top}{' of' if top.endswith('%') else ''} weights"
    answer = f"share {mean} of {top}" if value in _SHARES else f"agree to {mean} ({value}) in {top}"
    details: list[str] = [comparison.part, value]
    if comparison.seed_overlap is not None:
        details.insert(0, f"{comparison.seed_overlap.policy.seed_aggregate} over {len(comparison.runs)} seeds")
    if len(comparison.pairs) > 1:
        answer = f"Two runs {answer} on average"
        details = [f"of {len(comparison.shown.labels)} runs", *details[:-1], f"{value}, from {low} to {high}"]
    else:
        answer = f"The two runs {answer}"
    line = f"**{answer}** ({'; '.join(details)})."
    if isinstance(comparison.shown, Overlap):
        if "overlap/lift" in summary:
            line += f" They share {summary['overlap/lift']:,.3g} times as many weights as chance would give."
        core = len(comparison.overlap.core)
        held = f"{core:,} weights are" if core > 1 else "One weight is" if core else "No weight is"
        line += f" {held} in all runs."
    return [line]


def _skipped_lines(comparison: Comparison) -> list[str]:
    if not comparison.skipped:
        return []
    lines = ["", f"**Skipped**, {len(comparison.skipped)} that were asked for:", ""]
    lines += [
        # Shortened, because a description holds 8000 characters; comparison.json has the whole.
        f"* {_escaped(run.name)} ({run.run_id}): {_escaped(textwrap.shorten(run.reason, 160, placeholder=' …'))}"
        for run in comparison.skipped[:_LISTED_SKIPPED]
    ]
    if len(comparison.skipped) > _LISTED_SKIPPED:
        lines.append(f"* and {len(comparison.skipped) - _LISTED_SKIPPED} more, in comparison.json")
    return lines


def _run_links(comparison: Comparison, room: int) -> str:
    """Links to as many runs as there is room for."""
    links = list(_links(comparison).values())
    text, rest = "\n\nRuns: ", f" and more, all in runs.csv ({len(links)})"
    for index, link in enumerate(links):
        if len(text) + len(link) + len(rest) + 2 > room:
            return text + rest if index else ""
        text += (", " if index else "") + link
    return text + "."


def _pair_lines(comparison: Comparison, pairs: pd.DataFrame) -> list[str]:
    """The table of pairs, with what chance would give; of aggregated seeds with their spread."""
    links, value = _links(comparison), comparison.value
    titles = {
        "intersection": "shared weights",
        "intersection_frac": "of the smaller set",
        "expected": "by chance",
        "q_value": "q-value",
    }
    columns = [name for name in map(str, pairs.columns) if name not in ("a", "b", "lift", "p_value")]
    if value != "intersection" and "intersection" in columns:  # the count before what is made of it
        columns = ["intersection", value, *(name for name in columns if name not in ("intersection", value))]
    lines = [
        _row(["run", "run", *(titles.get(name, name) for name in columns)]),
        f"|---|---|{'---:|' * len(columns)}",
    ]
    lines += [
        _row([links[row["a"]], links[row["b"]], *(_cell(name, value, row[name]) for name in columns)])
        for row in pairs.to_dict("records")
    ]
    return lines


def _row(cells: list[str]) -> str:
    """A row of a table; the UI leaves no space between columns by itself."""
    return f"| {' &nbsp; | '.join(cells)} |"


def _cell(column: str, value: Value, number: float) -> str:
    if column in ("intersection", "seed_pairs"):
        return f"{number:,.0f}"
    if column == "q_value" and number == 0:
        return f"< {sys.float_info.min:.0e}"
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
    return re.sub(r"([|\[\]_*`\\])", r"\\\1", label).replace("<", "&lt;")
