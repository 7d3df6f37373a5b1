"""The answer of a comparison in sentences: how far runs agree, whether groups are ones, what seeds allow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradiend_mlflow.comparison.compared import Compared
from gradiend_mlflow.overlap.measures import COUNTED, Value
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.overlap.statistics.seed_noise import SeedNoise
from gradiend_mlflow.sets.parts import shown_topk
from gradiend_mlflow.store import tags
from gradiend_mlflow.wording import counted, percent

_SHARES = ("intersection", "intersection_frac")  # two runs share weights; by the other measures they agree


def summary_of(comparison: Compared) -> dict[str, float]:
    """The numbers by which comparisons can be searched and charted, by metric key.

    The lift is that of all pairs together: their shared weights over those that chance would give. Aggregated seeds
    have none. Groups that can be tested have their means and p-value.
    """
    numbers = comparison.pair_values
    summary = {
        tags.OVERLAP_MEAN: float(numbers.mean()),
        tags.OVERLAP_MIN: float(numbers.min()),
        tags.OVERLAP_MAX: float(numbers.max()),
    }
    if comparison.seed_overlap is None:
        pairs = np.triu_indices(len(comparison.overlap.labels), k=1)
        shared, expected = (
            comparison.overlap.intersection[pairs].sum(),
            comparison.overlap.chance().expected[pairs].sum(),
        )
        if expected > 0:
            summary[tags.OVERLAP_LIFT] = float(shared / expected)
    test = comparison.tested
    if isinstance(test, GroupTest):
        summary |= {
            tags.OVERLAP_WITHIN: test.within,
            tags.OVERLAP_BETWEEN: test.between,
            tags.OVERLAP_GROUP_P: test.p_value,
        }
    return summary


def answer_in_short(comparison: Compared) -> str:
    """How far runs agree, in a few words: cheap enough for every time that somebody looks."""
    matrix, value = comparison.shown.values(comparison.value), comparison.value
    if has_rows_of_seeds(comparison):
        own, apart = _of_seeds_and_trainings(comparison, None)
        return f"{value} {own} of two seeds of one training on average" + f", {apart} of two trainings" * bool(apart)
    numbers = matrix[np.triu_indices(len(matrix), k=1)]
    low, high = (shown(value, float(number)) for number in (numbers.min(), numbers.max()))
    open_ = "" if (by_ties := by_ties_of(comparison)) is None else f", of which ties leave open {by_ties}"
    return f"{value} {shown(value, float(numbers.mean()))} on average, {low} to {high}{open_}"


@dataclass(frozen=True)
class ByTies:
    """Between which bounds the mean overlap lies, whichever tied weights are in the sets."""

    value: Value
    bounds: tuple[float, float]

    def __str__(self) -> str:
        low, high = (shown(self.value, bound) for bound in self.bounds)
        return f"everything from {low} to {high}"


def by_ties_of(comparison: Compared) -> ByTies | None:
    """What ties leave open of the mean overlap; None if that does not show in it.

    Of a measure that does not only count, what they leave open of the share of the smaller set.
    """
    if not comparison.overlap.ties.matter.any():
        return None
    value: Value = comparison.value if comparison.value in COUNTED else "intersection_frac"
    matrices = comparison.shown.tie_bounds(value) or ()
    means = [float(matrix[np.triu_indices(len(matrix), k=1)].mean()) for matrix in matrices]
    if not means or shown(value, means[0]) == shown(value, means[1]):
        return None
    return ByTies(value, (means[0], means[1]))


def answers_of(comparison: Compared) -> list[list[str]]:
    """Sentences on how far runs agree, of which the first words are the answer; on groups; on seeds."""
    found = [list(of_topic(comparison)) for of_topic in (_answer, of_groups, _of_seeds)]
    return [sentences for sentences in found if sentences]


def _answer(comparison: Compared) -> Iterator[str]:
    value, summary, seeds = comparison.value, summary_of(comparison), comparison.seed_overlap
    several = has_rows_of_seeds(comparison)
    mean, low, high = (shown(value, summary[key]) for key in (tags.OVERLAP_MEAN, tags.OVERLAP_MIN, tags.OVERLAP_MAX))
    top = shown_topk(comparison.topk)
    top = f"their top {top}{' of' if top.endswith('%') else ''} weights"
    if (unit := comparison.unit) == "neuron":
        top = f"the neurons of {top}"
    by_ties = by_ties_of(comparison)
    own, apart = (
        _of_seeds_and_trainings(comparison, None if by_ties is None else by_ties.value) if several else ("", "")
    )
    said = mean if by_ties is None or by_ties.value != value else f"between {_between(by_ties)}"
    said = own or said
    answer = f"share {said} of {top}" if value in _SHARES else f"agree to {said} ({value}) in {top}"
    seeds_of = "" if seeds is None else f"{seeds.policy.seed_aggregate} over {len(comparison.runs)} seeds; "
    details = f"{seeds_of}{comparison.part}; {value}{' of neurons' if unit == 'neuron' else ''}"
    if len(comparison.shown.labels) > 2:  # noqa: PLR2004  # then several pairs
        what = counted(len(comparison.shown.labels), "run")
        if several:
            what = (
                f"{counted(len(comparison.runs), 'seed')} of {counted(len(comparison.trainings.labels), 'training')}"
            )
        details = f"of {what}; {details}, from {low} to {high}"
        answer = f"Two {'seeds of one training' if several else 'runs'} {answer} on average"
        answer += f", two of different trainings {apart}" if apart else ""
    else:
        answer = f"The two {'seeds of one training' if several else 'runs'} {answer}"
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


def has_rows_of_seeds(comparison: Compared) -> bool:
    """Whether the rows are seeds, of which several are of one training: two such pairs mean different things."""
    return comparison.seed_overlap is None and len(comparison.trainings.labels) < len(comparison.runs)


def mean_of(comparison: Compared) -> float:
    """How far two runs agree on average; of rows of seeds, two trainings, by all pairs of their seeds."""
    if has_rows_of_seeds(comparison) and len(comparison.trainings.labels) > 1:
        return _means(comparison.trainings.noise(comparison.value))[1]
    return float(comparison.pair_values.mean())


def _means(noise: SeedNoise) -> tuple[float, float]:
    """How far two seeds of one training agree on average, and how far two trainings do; NaN for no pair."""
    means = noise.means()[np.triu_indices(len(noise.members), k=1)]
    return float(noise.ceiling["mean"].mean()), float(means.mean()) if len(means) else np.nan


def _of_seeds_and_trainings(comparison: Compared, tied: Value | None) -> tuple[str, str]:
    """Both means, as text; nothing for no pair. With the bounds that ties leave open, if `tied` is what is shown."""
    value = comparison.value
    bounds = comparison.shown.tie_bounds(value) if tied == value else None
    noise = comparison.trainings.noise(value)
    found = [_means(replace(noise, matrix=matrix)) for matrix in bounds or (noise.matrix,)]
    texts = [[shown(value, number) for number in both if not np.isnan(number)] for both in zip(*found, strict=True)]
    own, apart = ("between " * (len(both) > 1) + " and ".join(both) for both in texts)
    return own, apart


def _between(by_ties: ByTies) -> str:
    return " and ".join(shown(by_ties.value, bound) for bound in by_ties.bounds)


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
        f"Two seeds of one training agree to {shown(value, mean)} on average ({shown(value, low)} to "
        f"{shown(value, high)}), which is the ceiling{at_it if known else ''}."
    )
    between, within = noise.spreads()
    if between <= within:
        yield (
            f"Pairs of trainings differ by less (standard deviation {shown(value, between)}) than pairs of seeds "
            f"within them ({shown(value, within)}), so their order is below seed noise."
        )


def shown(value: Value, number: float) -> str:
    """A number of that measure, as text."""
    # An aggregate of counts may lie between two.
    return f"{number:,.1f}".removesuffix(".0") if value == "intersection" else percent(number)
