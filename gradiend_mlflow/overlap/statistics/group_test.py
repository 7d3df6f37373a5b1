"""Do the trainings of one group overlap more than those of different groups, or would any grouping do as well?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.display.results import Shown, html_list, html_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.group_means import (
    holm,
    jackknife_interval,
    mean_against_rest,
    mean_difference,
    pair_values,
    superiority,
)
from gradiend_mlflow.overlap.statistics.groups import INTERVAL_FROM, GroupedTrainings, notes_on
from gradiend_mlflow.overlap.statistics.permutations import Labelings, PermutationTest, Statistic, permutation_test
from gradiend_mlflow.wording import percent

RandomState = int | np.random.Generator | None

SIGNIFICANT = 0.05
_ROUNDING = 1e-12
_NOTHING_TO_EXCHANGE = (
    "inside each stratum all trainings are of one group, so no groups can be exchanged, and the strata explain the "
    "overlap as well as the groups do"
)


@dataclass(frozen=True, eq=False, repr=False)
class GroupTest(Shown):
    """Whether trainings of one group overlap more than trainings of different groups; returned by `test_groups`.

    Attributes:
        value: The measure of overlap.
        within: The mean overlap of the pairs of trainings of one group.
        between: The mean overlap of the pairs of trainings of different groups.
        difference: `within` minus `between`.
        p_value: How often the difference would be as large if groups meant nothing: the share of all ways to
            exchange the groups among the trainings, inside their strata, that give this difference or a larger one.
        min_p: The smallest p-value that so many trainings can give. If it is above 0.05, nothing can be concluded. It
            is 1 if no groups can be exchanged, because each stratum has trainings of one group.
        exact: Whether all ways were tried. Otherwise some were drawn at random, and p is (1 + those with as large a
            difference) / (1 + all drawn).
        mc_error: The standard error of p from random ways; 0 if p is exact.
        tried: How many ways were tried, the given one included if they are all.
        confidence_interval: 95 % for the difference, by a jackknife over trainings; NaN with a note if a group has
            fewer than 4.
        effect_size: The probability that a pair within a group overlaps more than one between groups, ties counting
            half; 0.5 for no difference, 1 if all do.
        disjoint_difference: The difference over the pairs that have no target class in common, because two
            trainings that share a class overlap without any rule; NaN where classes are unknown or no such pair is
            within or between groups.
        per_group: A row per group: trainings, within, against (its mean overlap with the control, or with the other
            groups), difference, p_value (groups exchanged among these trainings only), p_holm (adjusted for the
            number of groups), min_p and exact. NaN for a group of one.
        pairs: A row per pair: a, b, group_a, group_b, relation ("within", "between" or "control") and overlap.
        notes: What one should know before believing the numbers.
        unit: What overlaps: "weight" or "neuron".

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> lists = {"a1": [0, 1, 2], "a2": [0, 1, 3], "b1": [5, 6, 7], "b2": [5, 6, 0]}
        >>> overlap = compute_overlap({name: TopKSet.from_indices(own, space=9) for name, own in lists.items()})
        >>> test = overlap.test_groups({"a": ["a1", "a2"], "b": ["b1", "b2"]}, value="intersection")
        >>> test.within, test.between, round(test.p_value, 3), round(test.min_p, 3)
        (2.0, 0.5, 0.333, 0.333)
    """

    value: str
    within: float
    between: float
    difference: float
    p_value: float
    min_p: float
    exact: bool
    mc_error: float
    tried: int
    confidence_interval: tuple[float, float]
    effect_size: float
    disjoint_difference: float
    per_group: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    notes: tuple[str, ...]
    unit: str = "weight"

    def __str__(self) -> str:
        """The answer in a sentence or two."""
        low, high = self.confidence_interval
        interval = "" if np.isnan(low) else f", 95 % interval {self.written(low)} to {self.written(high)}"
        text = (
            f"Trainings of one group overlap by {self.written(self.within)}, trainings of different groups by "
            f"{self.written(self.between)} (difference {self.written(self.difference)}{interval}"
        )
        text += self._disjoint()
        if self.nothing_to_exchange:
            return f"{text}). There is no p-value: {_NOTHING_TO_EXCHANGE}. Test with coarser strata, or without."
        if self.too_few:
            what = "runs" if self.exact else "permutations"
            return f"{text}). These are too few {what} to tell: no p-value below {self.min_p:.2g} is possible."
        how = f"all {self.tried:,}" if self.exact else f"{self.tried:,} random"
        return f"{text}; p = {self.p_value:.2g}, of {how} ways to group them)."

    @property
    def too_few(self) -> bool:
        """Whether there are too few runs, or permutations, for any p-value up to 0.05."""
        return self.min_p > SIGNIFICANT

    @property
    def nothing_to_exchange(self) -> bool:
        """Whether the strata leave one way only: each of them has trainings of one group."""
        return self.exact and self.tried == 1

    def _disjoint(self) -> str:
        """The difference without pairs that have a class in common, if it is known."""
        if np.isnan(self.disjoint_difference):
            return ""
        return f"; {self.written(self.disjoint_difference)} among pairs without a target class in common"

    def written(self, number: float) -> str:
        """An overlap or a difference, as text."""
        return f"{number:,.1f}" if self.value == "intersection" else percent(number)

    def _line(self) -> str:
        means = f"within {self.written(self.within)}, between {self.written(self.between)}"
        return f"{self.value}: {means}{self._disjoint()}, {self.verdict}"

    @property
    def verdict(self) -> str:
        """The p-value, or why there is none, in a few words."""
        if self.nothing_to_exchange:
            return "nothing to exchange in the strata"
        return "too few to tell" if self.too_few else f"p = {self.p_value:.2g}"

    def _headline(self) -> str:
        return str(self)

    def _html(self) -> Iterator[str]:
        percent = [] if self.value == "intersection" else ["within", "against", "difference"]
        yield html_table(self.per_group, index=True, percent=percent)
        yield html_list(self.notes)


def group_test(
    trainings: GroupedTrainings,
    *,
    value: str,
    unit: str = "weight",
    classes: Mapping[str, Collection[str]] | None,
    permutations: int,
    random_state: RandomState,
) -> GroupTest:
    """Test whether groups overlap more within than between.

    Args:
        trainings: The trainings and their groups.
        value: The measure of their overlap.
        unit: What overlaps.
        classes: A mapping from label to target classes, if they are known.
        permutations: How many labelings to try at most; above that number they are drawn.
        random_state: A seed, a generator, or None for a random seed.

    Raises:
        InvalidInputError: If `permutations` or `random_state` is not acceptable.
    """
    draws = _Draws(
        check_int("permutations", permutations, least=1),
        _generator(random_state),
        rounding=_ROUNDING * max(1.0, float(np.abs(trainings.matrix).max())),
    )
    tested = trainings.of(trainings.groups < len(trainings.tested))
    ranked = draws.rank(
        mean_difference(tested.matrix, tested.groups), Labelings(tested.groups, tested.strata, nameless=True)
    )
    within, between = pair_values(tested.matrix, tested.groups)
    interval = _interval(tested)
    return GroupTest(
        value=value,
        within=float(within.mean()),
        between=float(between.mean()),
        difference=float(within.mean() - between.mean()),
        **asdict(ranked),
        confidence_interval=interval or (np.nan, np.nan),
        effect_size=superiority(within, between),
        disjoint_difference=_disjoint_difference(tested, classes or {}),
        per_group=_per_group(trainings, draws),
        pairs=_pairs(trainings),
        notes=tuple(notes_on(tested, has_interval=interval is not None)),
        unit=unit,
    )


@dataclass(frozen=True)
class _Draws:
    """How labels are exchanged."""

    permutations: int
    rng: np.random.Generator
    rounding: float

    def rank(self, statistic: Statistic, labelings: Labelings) -> PermutationTest:
        return permutation_test(
            statistic, labelings, permutations=self.permutations, rounding=self.rounding, rng=self.rng
        )


def _generator(random_state: RandomState) -> np.random.Generator:
    """The generator that is given, or one with that seed."""
    if random_state is None or isinstance(random_state, np.random.Generator):
        return np.random.default_rng(random_state)
    try:
        return np.random.default_rng(check_int("random_state", random_state, least=0))
    except InvalidInputError as error:
        raise InvalidInputError(f"{error}; a numpy.random.Generator or None are fine too") from None


def _interval(tested: GroupedTrainings) -> tuple[float, float] | None:
    """The confidence interval, if every group has enough trainings and every group in a stratum has two."""
    both = np.stack([tested.groups, tested.strata])
    _, cells, sizes = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    if tested.sizes[: len(tested.tested)].min() < INTERVAL_FROM or sizes.min() < 2:  # noqa: PLR2004
        return None
    return jackknife_interval(tested.matrix, tested.groups, cells.ravel())


def _disjoint_difference(tested: GroupedTrainings, classes: Mapping[str, Collection[str]]) -> float:
    """The difference over pairs of which both trainings have target classes, none of them in common."""
    own = [frozenset(classes.get(label, ())) for label in tested.labels]
    rows, columns = np.triu_indices(len(own), k=1)
    disjoint = np.array(
        [bool(own[a] and own[b]) and own[a].isdisjoint(own[b]) for a, b in zip(rows, columns, strict=True)], dtype=bool
    )
    values, within = tested.matrix[rows, columns], tested.groups[rows] == tested.groups[columns]
    if not (disjoint & within).any() or not (disjoint & ~within).any():
        return float("nan")
    return float(values[disjoint & within].mean() - values[disjoint & ~within].mean())


def _per_group(trainings: GroupedTrainings, draws: _Draws) -> pd.DataFrame:
    rows = [_one_group(trainings, group, draws) for group in range(len(trainings.tested))]
    frame = pd.DataFrame(rows, index=pd.Index(trainings.tested, name="group"))
    frame.insert(5, "p_holm", holm(frame["p_value"].to_numpy()))
    return frame


def _one_group(trainings: GroupedTrainings, group: int, draws: _Draws) -> dict[str, Any]:
    """The mean within a group against its mean with the control, or with the other groups."""
    control = len(trainings.names) - 1
    own = trainings.groups == group
    others = trainings.groups == control if trainings.has_control else ~own
    chosen = trainings.of(own | others)
    inside = chosen.groups == group
    size = int(inside.sum())
    against = float(chosen.matrix[np.ix_(inside, ~inside)].mean())
    if size == 1:
        nothing = dict.fromkeys(("difference", "p_value", "min_p"), np.nan)
        return {"trainings": 1, "within": np.nan, "against": against, **nothing, "exact": True}
    within = float(chosen.matrix[np.ix_(inside, inside)][np.triu_indices(size, k=1)].mean())
    labelings = Labelings(inside.astype(np.int64), chosen.strata, nameless=False)
    ranked = draws.rank(mean_against_rest(chosen.matrix, size), labelings)
    tested = {"p_value": ranked.p_value, "min_p": ranked.min_p, "exact": ranked.exact}
    return {"trainings": size, "within": within, "against": against, "difference": within - against, **tested}


def _pairs(trainings: GroupedTrainings) -> pd.DataFrame:
    """Every pair of trainings, the control's included."""
    rows, columns = np.triu_indices(len(trainings.labels), k=1)
    labels, names = np.array(trainings.labels, dtype=object), np.array(trainings.names, dtype=object)
    groups_a, groups_b = trainings.groups[rows], trainings.groups[columns]
    relation = np.where(groups_a == groups_b, "within", "between").astype(object)
    relation[np.maximum(groups_a, groups_b) >= len(trainings.tested)] = "control"
    return pd.DataFrame(
        {
            "a": labels[rows],
            "b": labels[columns],
            "group_a": names[groups_a],
            "group_b": names[groups_b],
            "relation": relation,
            "overlap": trainings.matrix[rows, columns],
        }
    )
