"""What a comparison is called in MLflow's lists, and the description of its run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import accumulate
from urllib.parse import quote

from gradiend_mlflow.comparison.compared import Compared, column_by_label
from gradiend_mlflow.comparison.said.answers import answers_of, by_ties_of, has_rows_of_seeds, mean_of, shown
from gradiend_mlflow.overlap.measures import SIGNED, Value
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.sets.parts import shown_topk
from gradiend_mlflow.wording import counted, markdown, percent, probability, some_of

_LISTED_PAIRS = 10
_LISTED_SKIPPED = 20
_NAMED_RUNS = 3
_NAME_LENGTH = 60
_DESCRIPTION_LENGTH = 7900  # MLflow's tags hold 8000 characters
_TITLES = {
    "intersection_frac": "of the smaller set",
    "expected": "by chance",
    "q_value": "q-value",
}


def name_of_comparison(comparison: Compared) -> str:
    """First what tells comparisons apart - k, how many runs, the answer -, because MLflow's list cuts long names.

    Then the measure and the part, and what else was asked: which runs, groups, how seeds are aggregated.
    """
    labels, value = comparison.shown.labels, comparison.value
    mean, rows = mean_of(comparison), "seeds" if has_rows_of_seeds(comparison) else "runs"
    bounds = [mean] if (by_ties := by_ties_of(comparison)) is None or by_ties.value != value else by_ties.bounds
    texts = [percent(x, 0) if value not in {"intersection", *SIGNED} else shown(value, x) for x in bounds]
    answer = " to ".join([*(text.rstrip("%") for text in texts[:-1]), texts[-1].replace("%", " %")])
    details: list[str] = [value, *["neurons"] * (comparison.unit == "neuron"), comparison.part]
    if comparison.groups is not None:
        groups = list(dict.fromkeys(comparison.groups.values()))
        names = textwrap.shorten(", ".join(groups), _NAME_LENGTH, placeholder=", …")
        details.append(f"{counted(len(groups), 'group')}: {names}")
    if comparison.seed_overlap is not None:
        details.append(f"{comparison.seed_overlap.policy.seed_aggregate} over seeds")
    who, experiments = ", ".join(labels), comparison.runs["experiment"].unique()
    if len(labels) <= _NAMED_RUNS and len(who) <= _NAME_LENGTH:
        details.append(who)
    else:
        details.append(experiments[0] if len(experiments) == 1 else f"{len(experiments)} experiments")
    return f"k{shown_topk(comparison.topk)} {len(labels)} {rows} {answer} · {' · '.join(details)}"


def description_of(comparison: Compared) -> str:
    """Markdown: the answer in a sentence, the first pairs, the notes, the skipped runs, links to all runs."""
    n, sizes, skipped = len(comparison.shown.labels), comparison.overlap.sizes, comparison.skipped
    pairs = n * (n - 1) // 2
    (answer, *more), *others = answers_of(comparison)
    paragraphs = [" ".join([f"**{answer}**", *more, *(markdown(sentence) for topic in others for sentence in topic)])]
    paragraphs.append(_pair_table(comparison))
    if pairs > _LISTED_PAIRS:
        paragraphs.append(f"The {_LISTED_PAIRS} most overlapping of {pairs:,} pairs; all are in matrix.csv.")
    paragraphs.append("To look at: overlap_heatmap.png, and report.html with every pair and k.")
    if sizes.min() != sizes.max():
        paragraphs.append(f"The sets differ in size: they hold {sizes.min():,} to {sizes.max():,} {comparison.unit}s.")
    # Shortened, because a description holds 8000 characters; comparison.json has the whole.
    test = comparison.tested
    if notes := [*comparison.notes, *(test.notes if isinstance(test, GroupTest) else ())]:
        paragraphs.append(_bullets([_shortened(note, 600) for note in notes]))
    if skipped:
        lines = [f"{markdown(run.name)} ({run.run_id}): {_shortened(run.reason, 160)}" for run in skipped]
        paragraphs.append(f"**Skipped**, {len(skipped)} of the runs asked for; comparison.json has the full reasons:")
        paragraphs.append(_bullets(some_of(lines, _LISTED_SKIPPED)))
    text = "\n\n".join(paragraphs)
    return text + _run_links(comparison, _DESCRIPTION_LENGTH - len(text))


def _pair_table(comparison: Compared) -> str:
    """The first pairs, with what chance would give; of aggregated seeds with their spread."""
    value, links = comparison.value, _links(comparison)
    hidden = ["lift", "p_value", *["q_value"] * (comparison.unit == "neuron")]
    pairs = comparison.first_pairs(_LISTED_PAIRS).drop(columns=hidden, errors="ignore")
    if "intersection" in pairs:  # the count before what is computed from it
        pairs.insert(2, "intersection", pairs.pop("intersection"))
    columns = [str(name) for name in pairs.columns[2:]]
    titles = _TITLES | {"intersection": f"shared {comparison.unit}s"}
    rows = [["run", "run", *(titles.get(name, name) for name in columns)]]
    rows += [
        [links[pair["a"]], links[pair["b"]], *(_cell(name, value, pair[name]) for name in columns)]
        for pair in pairs.to_dict("records")
    ]
    # The UI itself leaves no space between columns.
    lines = [f"| {' &nbsp; | '.join(row)} |" for row in rows]
    lines.insert(1, f"|---|---|{'---:|' * len(columns)}")
    return "\n".join(lines)


def _cell(column: str, value: Value, number: float) -> str:
    if column == "q_value":
        return probability(number)
    if column == "expected" and number >= 100:  # noqa: PLR2004  # else two digits say more
        return f"{number:,.0f}"
    if column == "expected":
        return f"{number:.2g}"
    return shown("intersection" if column in ("intersection", "seed_pairs") else value, number)


def _run_links(comparison: Compared, length: int) -> str:
    """Links to as many runs as fit into a text of this length."""
    links = list(_links(comparison).values())
    start, rest = "\n\nRuns: ", f" and more; all {len(links)} are in runs.csv"
    lengths = accumulate(len(link) + len(", ") for link in links)
    fitting = sum(len(start) + total + len(rest) <= length for total in lengths)
    if fitting == 0:
        return ""
    return start + ", ".join(links[:fitting]) + ("." if fitting == len(links) else rest)


def _links(comparison: Compared) -> dict[str, str]:
    """Each label as a link to its run, or to its training if the seeds are aggregated."""
    run_ids = column_by_label(comparison, "run_id" if comparison.seed_overlap is None else TRAINING_RUN)
    experiments = column_by_label(comparison, "experiment_id")
    return {
        label: f"[{markdown(label)}](#/experiments/{quote(experiments[label], '')}/runs/{quote(run_id, '')})"
        for label, run_id in run_ids.items()
    }


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _shortened(text: str, length: int) -> str:
    return markdown(textwrap.shorten(text, length, placeholder=" …"))
