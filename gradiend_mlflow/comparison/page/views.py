"""What the rows of a report are: the sets that are compared, or the trainings whose seeds they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.figures.drawing.arrangement import arranged
from gradiend_mlflow.figures.drawing.text import shortened
from gradiend_mlflow.overlap.measures import Value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap
from gradiend_mlflow.overlap.statistics.groups import UNGROUPED, complete_groups

_SHORT, _TINY = 26, 14  # letters of a name in the page, and on a phone
_MANY = 25  # rows that are ordered by clusters

Level = Mapping[str, str]  # label -> what it is of, in the order in which labels are to be shown


@dataclass(frozen=True, eq=False)
class View:
    """One choice of rows.

    Attributes:
        name: What the rows are.
        labels: One per row; length N.
        members: The sets of each row, as rows of the overlap.
        matrix: The overlap of every two rows; shape (N, N).
        levels: What encloses rows, from the outside: "group", "training".
        aggregate: How the numbers of several sets become one.
        matched: Whether the sets of two rows are compared one by one, or each with each.
    """

    name: str
    labels: Sequence[str]
    members: Sequence[Sequence[int]]
    matrix: npt.NDArray[Any]
    levels: Mapping[str, Level]
    aggregate: str = "mean"
    matched: bool = False

    def to_json(self) -> dict[str, Any]:
        """The view in types that JSON knows, with names of two lengths and the orders in which rows can be shown."""
        orders = {f"by {next(iter(self.levels))}": self._together()} if self.levels else {}
        orders["as given"] = list(range(len(self.labels)))
        for order in ("name", "cluster"):
            orders[f"by {order}"] = arranged(self.labels, self.matrix, order, None).rows
        return {
            "name": self.name,
            **_named("labels", self.labels),
            "members": [list(map(int, own)) for own in self.members],
            "aggregate": self.aggregate,
            "matched": self.matched,
            "levels": [self._level(name) for name in self.levels],
            "orders": orders,
            "order": "by cluster" if not self.levels and len(self.labels) > _MANY else next(iter(orders)),
        }

    def _together(self) -> list[int]:
        """The rows with what is of one group together, and in it what is of one training."""
        given = {label: row for row, label in enumerate(self.labels)}
        rows = [given[label] for label in next(iter(self.levels.values()))]
        for level in reversed([*self.levels.values()]):
            places = {name: place for place, name in enumerate(dict.fromkeys(level.values()))}
            rows.sort(key=lambda row, of=level, at=places: at[of[self.labels[row]]])  # type: ignore[misc]
        return rows

    def _level(self, name: str) -> dict[str, Any]:
        level = self.levels[name]
        names = list(dict.fromkeys(level.values()))
        return {
            "name": name,
            **_named("names", names),
            "of": [names.index(level[label]) for label in self.labels],
            "other": names.index(UNGROUPED) if UNGROUPED in names else None,
        }


def views_of(
    overlap: Overlap, trainings: SeedOverlap, value: Value, groups: Level | None, *, aggregated: bool
) -> list[View]:
    """What can be the rows of a report, what was asked for first; trainings only where one has several seeds.

    Args:
        overlap: The overlap of the sets, or of the first of those of `trainings`.
        trainings: The trainings; those that lack a set in `overlap` are left out.
        value: The measure by which rows are ordered.
        groups: The group of each label of a set, or if they are aggregated, of a training.
        aggregated: Whether trainings were asked for.
    """
    n = len(overlap.labels)
    whole = [row for row, own in enumerate(trainings.members) if max(own) < n]
    labels, members = [trainings.labels[row] for row in whole], [trainings.members[row] for row in whole]
    sets_of = {
        label: [overlap.labels[row] for row in own if row < n]
        for label, own in zip(trainings.labels, trainings.members, strict=True)
    }
    training_of = {own: label for label, sets in sets_of.items() for own in sets}
    of_sets: dict[str, Level] = {}
    of_trainings: dict[str, Level] = {}
    if groups is not None and aggregated:
        of_sets["group"] = {own: group for label, group in groups.items() for own in sets_of[label]}
        of_trainings["group"] = {label: group for label, group in groups.items() if label in set(labels)}
    elif groups is not None:
        of_sets["group"] = {label: group for label, group in groups.items() if label in training_of}
        of_trainings["group"] = _of_trainings(of_sets["group"], training_of, labels)
    matrix = np.asarray(overlap.values(value), dtype=float)
    singles = [(row,) for row in range(n)]
    if all(len(own) == 1 for own in members):
        return [View("runs", overlap.labels, singles, matrix, of_sets)]
    of_sets["training"] = training_of
    seeds = View("seeds", overlap.labels, singles, matrix, of_sets)
    policy = trainings.policy
    pooled = View(
        "trainings",
        labels,
        members,
        trainings.values(value)[np.ix_(whole, whole)],
        of_trainings,
        policy.seed_aggregate or "mean",
        policy.seed_pairing_mode == "matched",
    )
    return [pooled, seeds] if aggregated else [seeds, pooled]


def _of_trainings(groups: Level, training_of: Mapping[str, str], labels: Sequence[str]) -> Level:
    """The group of each training, which is none if its seeds are in several."""
    found: dict[str, set[str]] = {}
    for label, group in groups.items():
        found.setdefault(training_of[label], set()).add(group)
    one = {label: own.pop() for label, own in found.items() if len(own) == 1 and label in set(labels)}
    return complete_groups(one, labels)


def _named(key: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Names in full and in two lengths, in which they still differ."""
    return {key: list(names), "short": shortened(names, _SHORT), "tiny": shortened(names, _TINY)}
