"""Several seeds of one training: which of them count, and how their numbers become one, as in gradiend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.any_overlap import AnyOverlap
from gradiend_mlflow.overlap.layout.ranked import Merging
from gradiend_mlflow.overlap.measures import SIGNED, Unit, Value, check_value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.statistics.frames import square_frame
from gradiend_mlflow.overlap.statistics.seed_noise import SeedNoise, check_members
from gradiend_mlflow.sets.space import IntArray, Matrix
from gradiend_mlflow.wording import counted, named

Seeds = Literal["best", "all_convergent", "all_tried"]
Aggregate = Literal["mean", "median", "min", "max"]
Dispersion = Literal["none", "std", "range", "minmax"]
Pairing = Literal["matched", "all_pairs"]
SeedGroupPolicy = Merging

_CHOICES = {
    "seeds": Seeds,
    "seed_aggregate": Aggregate,
    "dispersion": Dispersion,
    "seed_pairing_mode": Pairing,
    "seed_group_policy": SeedGroupPolicy,
}
_AGGREGATES: dict[str, Callable[[npt.NDArray[Any]], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "min": np.min,
    "max": np.max,
}


@dataclass(frozen=True)
class SeedPolicy:
    """Which seeds represent a training in a comparison, and how their numbers become one.

    The names, values and results are those of gradiend. `compare` takes the same arguments; the policy of a comparison
    is `comparison.seed_overlap.policy`.

    Args:
        seeds: "best" for the training's own sets, which are those of the selected model; "all_convergent" or
            "all_tried" for the sets of its seeds.
        seed_aggregate: None for one row per seed. "mean", "median", "min" or "max" for one row per training: of two
            trainings, that number over the pairs of their seeds.
        dispersion: The spread over those pairs: "none", "std" (the population's standard deviation), "range" (half
            of largest minus smallest) or "minmax" (both ends).
        seed_pairing_mode: Which pairs: "matched" (the first seed with the first, and so on) or "all_pairs".
        seed_group_policy: Which weights a training has in a Venn diagram and in regions: those of its first seed
            ("primary"), of any of its seeds ("union") or of all of them ("intersection").

    Raises:
        InvalidInputError: If a value is not one of these, or two values contradict each other.

    Example:
        >>> SeedPolicy("all_convergent", seed_aggregate="mean", dispersion="std").seed_pairing_mode
        'matched'
    """

    seeds: Seeds = "best"
    seed_aggregate: Aggregate | None = None
    dispersion: Dispersion = "none"
    seed_pairing_mode: Pairing = "matched"
    seed_group_policy: SeedGroupPolicy = "primary"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if name != "seed_aggregate" or self.seed_aggregate is not None:
                check_choice(name, getattr(self, name), get_args(choices))
        if self.seed_aggregate is not None and self.seeds == "best":
            raise InvalidInputError(
                "seed_aggregate needs seeds to aggregate: pass seeds='all_convergent' or 'all_tried' too"
            )
        if self.dispersion != "none" and self.seed_aggregate is None:
            raise InvalidInputError(f"dispersion={self.dispersion!r} needs aggregated seeds: pass seed_aggregate too")
        if self.dispersion == "range" and self.seed_aggregate in ("min", "max"):
            raise InvalidInputError(
                f"dispersion='range' means nothing around the {self.seed_aggregate}: pass dispersion='minmax'"
            )


@dataclass(frozen=True, eq=False, repr=False)
class SeedOverlap(AnyOverlap):
    """The overlap of N trainings of several seeds each: gradiend's numbers for groups of seed models.

    Attributes:
        labels: One label per training; length N. Rows and columns of every matrix follow it.
        overlap: The overlap of all the seeds' sets.
        members: Each training's rows in `overlap`, in the order in which the seeds were tried.
        policy: How the numbers of the seeds become one.
        seeds: The seed number of each row of `overlap`, None where it is not known; by default the first seed of
            every training has the same number, and so on.

    Raises:
        InvalidInputError: If seeds are to be matched and the trainings have different numbers of them, or `members`
            or `seeds` do not fit `overlap`.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> lists = {"a, seed 0": [0, 1], "a, seed 1": [1, 2], "b": [1, 9]}
        >>> sets = {label: TopKSet.from_indices(indices, space=10) for label, indices in lists.items()}
        >>> policy = SeedPolicy("all_tried", seed_aggregate="mean", seed_pairing_mode="all_pairs")
        >>> SeedOverlap(("a", "b"), compute_overlap(sets), ((0, 1), (2,)), policy).values("intersection").tolist()
        [[1.5, 1.0], [1.0, 2.0]]
    """

    labels: tuple[str, ...]
    overlap: Overlap = field(repr=False)
    members: tuple[tuple[int, ...], ...]
    policy: SeedPolicy
    seeds: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        check_members(self.members, len(self.labels), len(self.overlap.labels), self.seeds)
        sizes = {label: len(rows) for label, rows in zip(self.labels, self.members, strict=True)}
        if self.policy.seed_pairing_mode == "matched" and len(set(sizes.values())) > 1:
            found = ", ".join(f"{label!r} has {size}" for label, size in sizes.items())
            raise InvalidInputError(
                f"matched seeds need the same number in every training; {found}. Pass seed_pairing_mode='all_pairs'"
            )

    @property
    def unit(self) -> Unit:
        """What the sets are of."""
        return self.overlap.unit

    has_aggregated_seeds = True

    def _line(self) -> str:
        of = f"{counted(len(self.labels), 'training')} of {counted(len(self.overlap.labels), 'seed')}"
        pairs = self.policy.seed_pairing_mode.replace("_", " ").removesuffix(" pairs")
        return f"{of}, {self.policy.seed_aggregate or 'mean'} over {pairs} pairs: {named(self.labels)}"

    @cached_property
    def n(self) -> IntArray:
        """How many pairs of seeds each number is taken over; int64, shape (N, N)."""
        sizes = np.array([len(rows) for rows in self.members], dtype=np.int64)
        if self.policy.seed_pairing_mode == "matched":
            return np.broadcast_to(sizes, (len(sizes), len(sizes))).copy()
        return np.multiply.outer(sizes, sizes)

    def scores(self, value: Value = "intersection_frac") -> list[list[npt.NDArray[Any]]]:
        """The values of the pairs of seeds of each two trainings: N lists of N arrays."""
        return self._scores(self.overlap.values(value))

    def _scores(self, matrix: npt.NDArray[Any]) -> list[list[npt.NDArray[Any]]]:
        rows = [np.array(own) for own in self.members]
        if self.policy.seed_pairing_mode == "matched":
            return [[matrix[a, b] for b in rows] for a in rows]
        return [[matrix[np.ix_(a, b)].ravel() for b in rows] for a in rows]

    def values(self, value: Value = "intersection_frac") -> Matrix:
        """One number per pair of trainings: the aggregate of their pairs of seeds; float64, shape (N, N).

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        return self._aggregated(self.overlap.values(value))

    def _aggregated(self, matrix: npt.NDArray[Any]) -> Matrix:
        aggregate = _AGGREGATES[self.policy.seed_aggregate or "mean"]
        return np.array([[aggregate(pairs) for pairs in row] for row in self._scores(matrix)])

    def tie_bounds(self, value: Value = "intersection_frac") -> tuple[Matrix, Matrix] | None:
        """The smallest and the largest `values` whichever tied weights are in their sets; see `Overlap.tie_bounds`."""
        bounds = self.overlap.tie_bounds(value)
        return None if bounds is None else (self._aggregated(bounds[0]), self._aggregated(bounds[1]))

    def dispersion(self, value: Value = "intersection_frac") -> Matrix | None:
        """The spread over the pairs of seeds by `policy.dispersion`, or None for "none".

        Returns:
            float64, shape (N, N); for "minmax" (N, N, 2), the smallest and the largest.

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        spreads: dict[str, Callable[[npt.NDArray[Any]], Any]] = {
            "std": lambda pairs: float(np.std(pairs)),
            "range": lambda pairs: float(np.ptp(pairs) / 2),
            "minmax": lambda pairs: (float(np.min(pairs)), float(np.max(pairs))),
        }
        if self.policy.dispersion == "none":
            return None
        spread = spreads[self.policy.dispersion]
        return np.array([[spread(pairs) for pairs in row] for row in self.scores(value)])

    def to_frame(self, value: Value = "intersection_frac", *, relative: bool = False) -> pd.DataFrame:
        """`values`, or with `relative` those of the same name, with the labels on both axes.

        Raises:
            InvalidInputError: As for `Overlap.values`, and for `relative`.
        """
        return square_frame(self.relative(value) if relative else self.values(value), self.labels)

    def noise(self, value: Value = "intersection_frac") -> SeedNoise:
        """How far seeds agree, of one training and of two.

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        numbers = np.full(len(self.overlap.labels), np.nan)
        for rows in self.members:
            for place, row in enumerate(rows):
                number = place if self.seeds is None else self.seeds[row]
                numbers[row] = np.nan if number is None else number
        return SeedNoise(self.overlap.values(value), self.members, numbers)

    def check_several(self) -> None:
        """Check that there is a ceiling at all.

        Raises:
            InvalidInputError: If no training has two seeds.
        """
        if all(len(rows) == 1 for rows in self.members):
            raise InvalidInputError(
                "no training has two seeds here, so it is not known how far seeds agree: compare with "
                "seeds='all_tried'. If that was asked, one seed of each is logged: train with max_seeds=2 or more, "
                "min_convergent_seeds=None and saved_seed_runs='all_tried'"
            )

    @property
    def ceiling(self) -> pd.DataFrame:
        """`ceiling_of("intersection_frac")`."""
        return self.ceiling_of("intersection_frac")

    def ceiling_of(self, value: Value) -> pd.DataFrame:
        """How far the seeds of each training agree, which two trainings can hardly exceed.

        Returns:
            A row per label: the mean, std (ddof 1), min and max over the pairs of different seeds of the training,
            and their number, pairs. NaN for a training of one seed; a single pair has no std.

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        return self.noise(value).ceiling.set_axis(pd.Index(self.labels, name="label"))

    def relative(self, value: Value = "intersection_frac") -> Matrix:
        """The overlap of two trainings relative to what their seeds allow: 1 for two trainings that agree as seeds do.

        The mean over pairs of *different* seed numbers, because equal ones may share their initialisation, divided
        by the geometric mean of the two ceilings: Spearman's correction for attenuation (1904). Noise may carry it
        above 1. NaN where a training has no ceiling, or no two seeds are known to differ.

        Returns:
            float64, shape (N, N); 1 on the diagonal.

        Raises:
            InvalidInputError: If `value` may be negative, or as for `Overlap.values`.
        """
        if check_value(value) in SIGNED:
            raise InvalidInputError(
                f"relative overlap is a share of what seeds agree to, so it needs a measure that is never negative; "
                f"got {value!r}"
            )
        return self.noise(value).relative()

    def at_ceiling(self, value: Value = "intersection_frac") -> npt.NDArray[np.bool_]:
        """Which pairs of trainings overlap as far as two seeds of one of them may; bool, shape (N, N).

        That is at least as far as the two least alike seeds of either training, over pairs of different seed numbers.
        False where a training has a single seed.

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        return self.noise(value).at_ceiling()

    def of_trainings(self, value: Value) -> Matrix:
        """The mean over all pairs of seeds, whatever `policy` says; float64, shape (N, N)."""
        return self.noise(value).means()

    @cached_property
    def collapsed(self) -> Overlap:
        """One set per training by `policy.seed_group_policy`, for Venn diagrams and regions.

        A union or an intersection of several seeds has no ranks, so only measures that count are defined.
        """
        return self.overlap.merged(self.labels, self.members, self.policy.seed_group_policy)
