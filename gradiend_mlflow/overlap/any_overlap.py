"""What can be asked of any overlap, of sets or of trainings, of weights or of neurons."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from gradiend_mlflow.display.results import MOST_COLUMNS, Shown, html_table, html_text
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.measures import Unit, Value
from gradiend_mlflow.overlap.statistics.difference import OverlapDifference, difference_of
from gradiend_mlflow.overlap.statistics.frames import square_frame
from gradiend_mlflow.overlap.statistics.group_test import GroupTest, RandomState, group_test
from gradiend_mlflow.overlap.statistics.groups import grouped_trainings
from gradiend_mlflow.overlap.statistics.neighbours import OverlapMap, map_of, tree_of
from gradiend_mlflow.sets.space import Matrix


class AnyOverlap(Shown):
    """What is asked of any overlap, be it of sets or of trainings with several seeds."""

    labels: tuple[str, ...]

    @property
    def unit(self) -> Unit:
        """What the sets are of: "weight" or "neuron"."""
        return "weight"

    @abstractmethod
    def values(self, value: Value = "intersection_frac") -> npt.NDArray[Any]:
        """One number per pair, by the name of the measure; shape (N, N)."""

    def of_trainings(self, value: Value) -> npt.NDArray[Any]:
        """The overlap of trainings, which is what a test of groups is about; shape (N, N)."""
        return self.values(value)

    def test_groups(
        self,
        groups: Mapping[str, Any],
        *,
        value: Value = "intersection_frac",
        control: str | None = None,
        strata: Mapping[str, str] | None = None,
        classes: Mapping[str, Collection[str]] | None = None,
        permutations: int = 10_000,
        random_state: RandomState = 0,
    ) -> GroupTest:
        """Test whether trainings of one group overlap more than trainings of different groups.

        Of an `Overlap` each set is a training. Of a `SeedOverlap`, the overlap of two trainings is the mean over all
        pairs of their seeds, whatever its policy says.

        If groups mean nothing, they can be exchanged among the trainings. The test compares the difference of means
        with that of every exchange: a one-sided Mantel test (Mantel 1967) of the overlap with a matrix that says who
        is in one group. Trainings are exchanged, never pairs, because pairs that share a training are not independent.

        Args:
            groups: A mapping from label to group, or from group to labels. Trainings in no group, or in "Other",
                are left out and noted.
            value: The measure of overlap.
            control: A group that is neither within nor between and is not exchanged: `per_group` compares with it.
            strata: A mapping from label to stratum; groups are exchanged inside strata only.
            classes: A mapping from label to the training's target classes, for `disjoint_difference`.
            permutations: Up to that many ways to exchange groups are all tried; of more, that many are drawn.
            random_state: A seed, a `numpy.random.Generator`, or None for a seed that differs every time. NumPy's
                global generator is never used.

        Raises:
            InvalidInputError: If there are fewer than two groups beside the control, none of them has two trainings,
                or an argument is not acceptable.
        """
        trainings = grouped_trainings(self.labels, self.of_trainings(value), groups, control, strata)
        return group_test(
            trainings,
            value=value,
            unit=self.unit,
            classes=classes,
            permutations=permutations,
            random_state=random_state,
        )

    @property
    def has_aggregated_seeds(self) -> bool:
        """Whether rows are trainings whose seeds are aggregated, so that the diagonal is how far these agree."""
        return False

    def difference(
        self,
        other: AnyOverlap,
        *,
        value: Value = "intersection_frac",
        names: tuple[str, str] = ("first", "second"),
    ) -> OverlapDifference:
        """What changes from another overlap to this one, over the labels that both have.

        Args:
            other: The overlap that is subtracted.
            value: The measure.
            names: What this overlap and the other are called in figures and tables.

        Raises:
            InvalidInputError: If they have fewer than two labels in common, or are of different units.
        """
        if other.unit != self.unit:
            raise InvalidInputError(
                f"a difference needs overlaps of one unit; got one of {self.unit}s and one of {other.unit}s"
            )
        return difference_of(
            value,
            (self.labels, self.values(value)),
            (other.labels, other.values(value)),
            unit=self.unit,
            names=names,
            has_diagonal=self.has_aggregated_seeds == other.has_aggregated_seeds,
        )

    @property
    def tree(self) -> Matrix:
        """`tree_of("intersection_frac")`."""
        return self.tree_of("intersection_frac")

    def tree_of(self, value: Value) -> Matrix:
        """The runs as leaves of a tree of clusters, by average linkage; scipy's linkage matrix, shape (N - 1, 4).

        Two runs are 1 - value / largest value apart; neighbouring leaves are those that agree best.

        Raises:
            InvalidInputError: If there are fewer than two runs.
        """
        return tree_of(self.values(value))

    def map(self, *, value: Value = "intersection_frac") -> OverlapMap:
        """The runs as points on a plane, by classical multidimensional scaling: the same runs, the same map.

        Two runs are sqrt(1 - value / largest value) apart. For sets of one size and the default measure, these are
        proportional to the distances between the sets' own vectors over all weights.

        Raises:
            InvalidInputError: If there are fewer than two runs.
        """
        return map_of(self.labels, self.values(value))

    def _first_few(self) -> AnyOverlap:
        """An overlap whose first rows are those of this one, with as few others as is easily done."""
        return self

    def _html(self) -> Iterator[str]:
        matrix = square_frame(self._first_few().values(), self._first_few().labels).iloc[:MOST_COLUMNS, :MOST_COLUMNS]
        yield html_text(f"Shared {self.unit}s of two, over the smaller set:")
        yield html_table(matrix, index=True, percent=matrix.columns, most=MOST_COLUMNS, of=len(self.labels))
