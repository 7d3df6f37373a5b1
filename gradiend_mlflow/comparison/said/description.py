"""What a comparison is called in MLflow's lists, and the description of its run."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import quote

import numpy as np

from gradiend_mlflow.comparison.compared import Compared, column_by_label
from gradiend_mlflow.overlap.measures import COUNTED, SIGNED, Value
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.sets.parts import shown_topk
from gradiend_mlflow.store import tags
from gradiend_mlflow.wording import counted, markdown, some_of

_LISTED_PAIRS = 10
_LISTED_SKIPPED = 20
_NAMED_RUNS = 3
_NAME_LENGTH = 60
_DESCRIPTION_LENGTH = 7900  # MLflow's tags hold 8000 characters
_SHARES = ("intersection", "intersection_frac")  # two runs share weights; by the other measures they agree
_TITLES = {
    "intersection_frac": "of the smaller set",
    "expected": "by chance",
    "q_value": "q-value",
}


def summary_of(comparison: Compared) -> dict[str, float]:
    """The numbers by which comparisons can be searched and charted, by metric key.

    The lift is that of all pairs together: their shared weights over those that chance would give. Aggregated seeds
    have none. Groups that can be tested have their means and p-value.
    """
    pairs = comparison.pairs
    numbers = pairs[comparison.value]
    summary = {
        tags.OVERLAP_MEAN: float(numbers.mean()),
        tags.OVERLAP_MIN: float(numbers.min()),
        tags.OVERLAP_MAX: float(numbers.max()),
    }
    if "expected" in pairs and pairs["expected"].sum() > 0:
        summary[tags.OVERLAP_LIFT] = float(pairs["intersection"].sum() / pairs["expected"].sum())
    test = comparison.tested
    if isinstance(test, GroupTest):
        summary |= {
            tags.OVERLAP_WITHIN: test.within,
            tags.OVERLAP_BETWEEN: test.between,
            tags.OVERLAP_GROUP_P: test.p_value,
        }
    return summary


def name_of_comparison(comparison: Compared) -> str:
    """First what tells comparisons apart - k, how many runs, the answer -, because MLflow's list cuts long names.

    Then the measure and the part, and what else was asked: which runs, groups, how seeds are aggregated.
    """
    labels, value = comparison.shown.labels, comparison.value
    mean = summary_of(comparison)[tags.OVERLAP_MEAN]
    bounds = [mean] if (by_ties := _by_ties(comparison)) is None or by_ties.value != value else by_ties.bounds
    texts = [f"{x:.0%}" if value not in {"intersection", *SIGNED} else _shown(value, x) for x in bounds]
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
    return f"k{shown_topk(comparison.topk)} {len(labels)} runs {answer} · {' · '.join(details)}"


def description_of(comparison: Compared) -> str:
    """Markdown: the answer in a sentence, the first pairs, the notes, the skipped runs, links to all runs."""
    pairs, sizes, skipped = comparison.pairs, comparison.overlap.sizes, comparison.skipped
    (answer, *more), *others = answers_of(comparison)
    paragraphs = [" ".join([f"**{answer}**", *more, *(markdown(sentence) for topic in others for sentence in topic)])]
    paragraphs.append(_pair_table(comparison))
    if len(pairs) > _LISTED_PAIRS:
        paragraphs.append(f"The {_LISTED_PAIRS} most overlapping of {len(pairs):,} pairs; all are in matrix.csv.")
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


def answer_in_short(comparison: Compared) -> str:
    """How far runs agree, in a few words: cheap enough for every time that somebody looks."""
    matrix, value = comparison.shown.values(comparison.value), comparison.value
    numbers = matrix[np.triu_indices(len(matrix), k=1)]
    low, high = (_shown(value, float(number)) for number in (numbers.min(), numbers.max()))
    open_ = "" if (by_ties := _by_ties(comparison)) is None else f", of which ties leave open {by_ties}"
    return f"{value} {_shown(value, float(numbers.mean()))} on average, {low} to {high}{open_}"


@dataclass(frozen=True)
class _ByTies:
    """Between which bounds the mean overlap lies, whichever tied weights are in the sets."""

    value: Value
    bounds: tuple[float, float]

    def __str__(self) -> str:
        low, high = (_shown(self.value, bound) for bound in self.bounds)
        return f"everything from {low} to {high}"


def _by_ties(comparison: Compared) -> _ByTies | None:
    """What ties leave open of the mean overlap; None if that does not show in it.

    Of a measure that does not only count, what they leave open of the share of the smaller set.
    """
    if not comparison.overlap.ties.matter.any():
        return None
    value: Value = comparison.value if comparison.value in COUNTED else "intersection_frac"
    matrices = comparison.shown.tie_bounds(value) or ()
    means = [float(matrix[np.triu_indices(len(matrix), k=1)].mean()) for matrix in matrices]
    if not means or _shown(value, means[0]) == _shown(value, means[1]):
        return None
    return _ByTies(value, (means[0], means[1]))


def answers_of(comparison: Compared) -> list[list[str]]:
    """Sentences on how far runs agree, of which the first words are the answer; on groups; on seeds."""
    found = [list(of_topic(comparison)) for of_topic in (_answer, of_groups, _of_seeds)]
    return [sentences for sentences in found if sentences]


def _answer(comparison: Compared) -> Iterator[str]:
    value, summary, seeds = comparison.value, summary_of(comparison), comparison.seed_overlap
    mean, low, high = (_shown(value, summary[key]) for key in (tags.OVERLAP_MEAN, tags.OVERLAP_MIN, tags.OVERLAP_MAX))
    top = shown_topk(comparison.topk)
    top = f"their top {top}{' of' if top.endswith('%') else ''} weights"
    if (unit := comparison.unit) == "neuron":
        top = f"the neurons of {top}"
    by_ties = _by_ties(comparison)
    said = mean if by_ties is None or by_ties.value != value else f"between {_between(by_ties)}"
    answer = f"share {said} of {top}" if value in _SHARES else f"agree to {said} ({value}) in {top}"
    seeds_of = "" if seeds is None else f"{seeds.policy.seed_aggregate} over {len(comparison.runs)} seeds; "
    details = f"{seeds_of}{comparison.part}; {value}{' of neurons' if unit == 'neuron' else ''}"
    if len(comparison.pairs) > 1:
        details = f"of {len(comparison.shown.labels)} runs; {details}, from {low} to {high}"
        answer = f"Two runs {answer} on average"
    else:
        answer = f"The two runs {answer}"
    if by_ties is not None:
        yield (
            f"{answer}, because importances tie"
            if by_ties.value == value
            else (f"{answer}, but importances tie: they share between {_between(by_ties)} of these {unit}s")
        )
        yield f"({details})."
        yield from _of_ties(comparison, mean)
        return
    yield answer
    yield f"({details})."
    # Chance scatters weights over all neurons. Real ones lie in few, so neurons are always fewer than by chance.
    if tags.OVERLAP_LIFT in summary and unit == "weight":
        yield f"They share {summary['overlap/lift']:,.3g} times as many {unit}s as chance would give."
    if seeds is None:
        core = len(comparison.overlap.core)
        held = f"{core:,} {unit}s are" if core > 1 else f"One {unit} is" if core else f"No {unit} is"
        yield f"{held} in all runs."


def _between(by_ties: _ByTies) -> str:
    return " and ".join(_shown(by_ties.value, bound) for bound in by_ties.bounds)


def _of_ties(comparison: Compared, mean: str) -> Iterator[str]:
    """Which part of the answer is an accident."""
    arbitrary = comparison.overlap.ties.matter
    yield (
        f"In {int(arbitrary.sum()):,} of {len(arbitrary):,} sets the order of the base model's parameters, not their "
        f"importance, decides which of several equally important weights are in; as it is, the number is {mean}."
    )


def of_groups(comparison: Compared) -> Iterator[str]:
    """Whether the groups are ones."""
    test = comparison.tested
    if isinstance(test, GroupTest):
        yield str(test)
        if not math.isnan(test.disjoint_difference):
            difference = _shown(comparison.value, test.disjoint_difference)
            yield f"Of pairs without a target class in common, the difference is {difference}."
    elif test is not None:
        yield f"The groups are not tested: {test}."


def _of_seeds(comparison: Compared) -> Iterator[str]:
    """How far the seeds of one training agree, and whether pairs of trainings differ by more than seeds do."""
    noise, value = comparison.trainings.noise(comparison.value), comparison.value
    ceiling = noise.ceiling
    if not ceiling["pairs"].any():
        return
    mean, low, high = ceiling["mean"].mean(), ceiling["min"].min(), ceiling["max"].max()
    pairs = np.triu_indices(len(ceiling), k=1)
    reached, known = int(noise.at_ceiling()[pairs].sum()), int((~np.isnan(noise.judged()[pairs])).sum())
    at_it = f"; {reached:,} of {counted(known, 'pair')} of trainings {'is' if reached == 1 else 'are'} at it"
    yield (
        f"Two seeds of one training agree to {_shown(value, mean)} on average ({_shown(value, low)} to "
        f"{_shown(value, high)}), which is the ceiling{at_it if known else ''}."
    )
    between, within = noise.spreads()
    if between <= within:
        yield (
            f"Pairs of trainings differ by less (standard deviation {_shown(value, between)}) than pairs of seeds "
            f"within them ({_shown(value, within)}), so their order is below seed noise."
        )


def _pair_table(comparison: Compared) -> str:
    """The first pairs, with what chance would give; of aggregated seeds with their spread."""
    value, links = comparison.value, _links(comparison)
    hidden = ["lift", "p_value", *["q_value"] * (comparison.unit == "neuron")]
    pairs = comparison.pairs.head(_LISTED_PAIRS).drop(columns=hidden, errors="ignore")
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
    if column == "q_value" and number == 0:
        return f"< {sys.float_info.min:.0e}"
    if column == "expected" and number >= 100:  # noqa: PLR2004  # else two digits say more
        return f"{number:,.0f}"
    if column in ("expected", "q_value"):
        return f"{number:.2g}"
    return _shown("intersection" if column in ("intersection", "seed_pairs") else value, number)


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


def _shown(value: Value, number: float) -> str:
    # An aggregate of counts may lie between two.
    return f"{number:,.1f}".removesuffix(".0") if value == "intersection" else f"{number:.1%}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _shortened(text: str, length: int) -> str:
    return markdown(textwrap.shorten(text, length, placeholder=" …"))
