"""What is compared, and what its numbers answer: of groups, of seeds, of who is near whom, of another comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.comparison.chosen.groups import Groups, by_label, groups_of
from gradiend_mlflow.comparison.chosen.selection import Skipped
from gradiend_mlflow.comparison.tables import pair_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.measures import Unit, Value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap, SeedPolicy
from gradiend_mlflow.overlap.statistics.group_test import GroupTest, RandomState
from gradiend_mlflow.overlap.statistics.groups import as_mapping
from gradiend_mlflow.overlap.statistics.neighbours import OverlapMap
from gradiend_mlflow.runs.labels import TRAINING_RUN, column_of
from gradiend_mlflow.sets.parts import Part, shown_topk
from gradiend_mlflow.sets.space import Matrix
from gradiend_mlflow.sets.topk import TopKSet

_ALL_PAIRS = SeedPolicy("all_tried", seed_aggregate="mean", seed_pairing_mode="all_pairs")
_MANY = 500  # trainings, for which 10,000 permutations take longer than the comparison
# What may be the reason of an overlap instead of the groups, by column of a comparison's runs.
_OTHER_REASONS = {"base_model": "base model", "experiment": "experiment"}


@dataclass(frozen=True, eq=False, repr=False)
class Compared:
    """What `Comparison` says in numbers; its attributes are described there."""

    overlap: Overlap
    sets: Mapping[str, TopKSet] = field(repr=False)
    stored: Mapping[str, TopKSet] = field(repr=False)
    runs: pd.DataFrame = field(repr=False)
    part: Part
    topk: float
    value: Value
    seed_overlap: SeedOverlap | None = None
    groups: Mapping[str, str] | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    run_id: str | None = None
    page: str | None = None

    @property
    def unit(self) -> Unit:
        """What is compared: "weight" or "neuron"."""
        return self.overlap.unit

    @property
    def subject(self) -> str:
        """What is compared, in a few words: "decoder-weight, top 1000"."""
        return f"{self.part}, top {shown_topk(self.topk)}{', neurons' * (self.unit == 'neuron')}"

    @property
    def shown(self) -> Overlap | SeedOverlap:
        """The overlap that `matrix` shows: that of the trainings if seeds are aggregated, else that of the sets."""
        return self.seed_overlap or self.overlap

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The table of pairs, of which `to_frame` returns a copy."""
        return pair_table(self.shown, self.value)

    def first_pairs(self, most: int) -> pd.DataFrame:
        """The first rows of `pairs`, without making the others: a table of millions takes a while, and memory."""
        return pair_table(self.shown, self.value, most)

    @property
    def pair_values(self) -> pd.Series[Any]:
        """`value` of each pair above the diagonal, row by row."""
        return pd.Series(self.shown.values(self.value)[np.triu_indices(len(self.shown.labels), k=1)])

    @property
    def matrix(self) -> pd.DataFrame:
        """The overlap per pair of runs, labelled on both axes; aggregated over seeds if that was asked for."""
        return self.shown.to_frame(self.value)

    @cached_property
    def trainings(self) -> SeedOverlap:
        """The overlap of the trainings, of which `runs` are the seeds; without seeds each run is a training."""
        if self.seed_overlap is not None:
            return self.seed_overlap
        members: dict[str, list[int]] = {}
        for row, training in enumerate(self.runs[TRAINING_RUN]):
            members.setdefault(training, []).append(row)
        rows = tuple(map(tuple, members.values()))
        labels = _training_labels(self.runs, [own[0] for own in rows], len(rows) < len(self.runs))
        return SeedOverlap(labels, self.overlap, rows, _ALL_PAIRS, seed_numbers(self.runs))

    @property
    def ceiling(self) -> pd.DataFrame:
        """How far the seeds of each training agree: mean, std, min, max, pairs by label; see `SeedOverlap.ceiling_of`.

        Raises:
            InvalidInputError: If no training has two seeds in the comparison.
        """
        self.trainings.check_several()
        return self.trainings.ceiling_of(self.value)

    def test_groups(
        self,
        groups: Groups | None = None,
        *,
        control: str | None = None,
        strata: str | Mapping[str, str] | None = None,
        permutations: int = 10_000,
        random_state: RandomState = 0,
    ) -> GroupTest:
        """Test whether trainings of one group overlap more than trainings of different groups, by `value`.

        `Overlap.test_groups` describes the test. Seeds are averaged to trainings first, over all pairs of them.

        Args:
            groups: A column or a mapping, as for `compare`; default `groups`.
            control: A group that is neither within nor between: `per_group` compares each other group with it.
            strata: A column, "params.<name>" or "tags.<name>", or a mapping from label or id to stratum; groups are
                exchanged inside strata only. "base_model" answers whether groups matter besides the base model.
            permutations: Up to that many ways to exchange groups are all tried; of more, that many are drawn.
            random_state: A seed, a `numpy.random.Generator`, or None for a seed that differs every time.

        Raises:
            InvalidInputError: As for `Overlap.test_groups`, or if there are no groups, or the seeds of one training
                are in several.

        Example:
            ::

                test = compare(groups="params.case").test_groups(control="other", strata="base_model")
                print(test)
                test.per_group
        """
        if groups is None and self.groups is None:
            raise InvalidInputError("there are no groups to test: pass groups to test_groups, or to compare")
        rows = self.shown_runs
        told = self.groups if groups is None else groups_of(groups, rows)
        group_of = self._by_training(told or {}, "groups")
        if isinstance(strata, str):
            strata = {row["label"]: column_of(row, strata, "strata") for _, row in rows.iterrows()}
        stratum_of: Any = as_mapping(strata)
        if isinstance(stratum_of, Mapping):
            stratum_of = self._by_training(by_label(stratum_of, rows, "strata"), "strata")
        classes = [self.runs["target_classes"].iloc[own[0]] for own in self.trainings.members]
        test = self.trainings.test_groups(
            group_of,
            value=self.value,
            control=control,
            strata=stratum_of,
            classes=dict(zip(self.trainings.labels, classes, strict=True)),
            permutations=permutations,
            random_state=random_state,
        )
        return replace(test, notes=(*test.notes, *self._other_reasons(test)))

    @cached_property
    def tested(self) -> GroupTest | InvalidInputError | None:
        """The test of `groups` that is logged: None without groups, and the reason where they cannot be tested."""
        if self.groups is None:
            return None
        many = len(self.trainings.labels) > _MANY
        try:
            return self.test_groups(permutations=999 if many else 10_000)
        except InvalidInputError as error:
            return error

    @property
    def tree(self) -> Matrix:
        """The runs as leaves of a tree of clusters, as scipy's linkage; see `Overlap.tree_of`."""
        return self.shown.tree_of(self.value)

    def map(self) -> OverlapMap:
        """The runs as points on a plane, the nearer the more they overlap; see `Overlap.map`."""
        return self.shown.map(value=self.value)

    @property
    def shown_runs(self) -> pd.DataFrame:
        """A row of `runs` per label of `shown`: of a training with its seeds aggregated, that of its first seed."""
        if self.seed_overlap is None:
            return self.runs
        firsts = [members[0] for members in self.seed_overlap.members]
        return self.runs.iloc[firsts].assign(label=list(self.seed_overlap.labels))

    def _by_training(self, told: Mapping[str, str], argument: str) -> dict[str, str]:
        """What is said of runs, of their trainings."""
        if self.seed_overlap is not None:
            return dict(told)
        found: dict[str, str] = {}
        for label, rows in zip(self.trainings.labels, self.trainings.members, strict=True):
            own = [told[self.overlap.labels[row]] for row in rows if self.overlap.labels[row] in told]
            if len(set(own)) > 1:
                raise InvalidInputError(
                    f"{argument} must be the same for all seeds of a training; of {label!r} they are "
                    f"{', '.join(map(str, dict.fromkeys(own)))}"
                )
            if own:
                found[label] = own[0]
        return found

    def _other_reasons(self, test: GroupTest) -> Iterator[str]:
        """A note for each other reason for which a group's trainings may overlap."""
        ends = [test.pairs[["a", "group_a"]].to_numpy(), test.pairs[["b", "group_b"]].to_numpy()]
        groups = {label: group for end in ends for label, group in end if group in test.per_group.index}
        firsts = {label: rows[0] for label, rows in zip(self.trainings.labels, self.trainings.members, strict=True)}
        for column, name in _OTHER_REASONS.items():
            values = {label: str(self.runs[column].iloc[firsts[label]]) for label in groups}
            combined = set(zip(groups.values(), values.values(), strict=True))
            number = len(set(values.values()))
            if len(combined) == len(test.per_group) and number > 1:
                yield (
                    f"Each group has one {name}, of {number} that there are: what looks like the groups may be the "
                    f"{name}."
                )


def seed_numbers(runs: pd.DataFrame) -> tuple[int | None, ...]:
    """The seed of each of a comparison's runs, None where it is not known."""
    return tuple(None if pd.isna(seed) else int(seed) for seed in runs["seed"])


def _training_labels(runs: pd.DataFrame, firsts: list[int], several: bool) -> tuple[str, ...]:
    """What trainings are called whose rows are seeds: as their first seed, without its number if that is enough."""
    rows = runs.iloc[firsts]
    if not several:
        return tuple(rows["label"])
    short = [label.removesuffix(f" (seed {seed})") for label, seed in zip(rows["label"], rows["seed"], strict=True)]
    return tuple(short if len(set(short)) == len(short) else rows["label"])


def column_by_label(comparison: Compared, column: str) -> dict[str, Any]:
    """A column of a comparison's runs, by label; of each training's first seed, if the seeds are aggregated."""
    rows = comparison.shown_runs
    return dict(zip(comparison.shown.labels, rows[column], strict=True))
