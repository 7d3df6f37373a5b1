"""How far the seeds of one training agree, which no two trainings can be expected to exceed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.space import Matrix


def check_members(
    members: Sequence[Sequence[int]], trainings: int, sets: int, seeds: Sequence[int | None] | None
) -> None:
    """Check which of the sets are the seeds of which training, and the seeds' numbers, if they are known.

    Raises:
        InvalidInputError: If a training has none of the sets, a set is in two of them or is not there, or there is not
            one number per set.
    """
    rows = [row for own in members for row in own]
    each_once = sorted(rows) == sorted({*rows} & {*range(sets)})
    if len(members) != trainings or not all(members) or not each_once:
        raise InvalidInputError(
            f"members must name the rows of each of the {trainings} trainings, at least one of 0 to {sets - 1}, each "
            f"once; got {members}"
        )
    if seeds is not None and len(seeds) != sets:
        raise InvalidInputError(f"seeds must have a number per row of the overlap, {sets}; got {len(seeds)}")


@dataclass(frozen=True, eq=False)
class SeedNoise:
    """The overlap of N trainings' seeds, M of them.

    Attributes:
        matrix: The overlap of the seeds; shape (M, M), symmetric.
        members: Each training's rows in it; length N.
        numbers: Each row's seed number, NaN where it is not known; float64, shape (M,).
    """

    matrix: npt.NDArray[Any]
    members: Sequence[Sequence[int]]
    numbers: Matrix

    @cached_property
    def _own(self) -> Matrix:
        """Which training has which seed; 0 or 1, shape (N, M)."""
        own = np.zeros((len(self.members), len(self.matrix)))
        for training, rows in enumerate(self.members):
            own[training, list(rows)] = 1.0
        return own

    def means(self) -> Matrix:
        """The mean over all pairs of seeds of each two trainings; shape (N, N)."""
        sizes = self._own.sum(axis=1)
        means: Matrix = self._own @ self.matrix @ self._own.T / np.multiply.outer(sizes, sizes)
        return means

    @cached_property
    def different(self) -> Matrix:
        """The mean over pairs of seeds whose numbers are known to differ; NaN where there is none; shape (N, N)."""
        unlike = (self.numbers[:, None] != self.numbers) & ~np.isnan(self.numbers[:, None] + self.numbers)
        sums, pairs = (self._own @ values @ self._own.T for values in (self.matrix * unlike, unlike.astype(float)))
        different: Matrix = np.divide(sums, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
        return different

    @cached_property
    def ceiling(self) -> pd.DataFrame:
        """mean, std, min, max and pairs of each training's pairs of different seeds; one row per training."""
        rows = []
        for members in self.members:
            places = np.triu_indices(len(members), k=1)
            values = np.asarray(self.matrix[np.ix_(members, members)][places], dtype=np.float64)
            known = len(values) > 0
            rows.append(
                {
                    "mean": values.mean() if known else np.nan,
                    "std": values.std(ddof=1) if len(values) > 1 else np.nan,
                    "min": values.min() if known else np.nan,
                    "max": values.max() if known else np.nan,
                    "pairs": len(values),
                }
            )
        return pd.DataFrame(rows)

    def relative(self) -> Matrix:
        """`different` over the geometric mean of the two ceilings; 1 on the diagonal; NaN without a ceiling."""
        ceiling = self.ceiling["mean"].to_numpy()
        scale = np.sqrt(np.multiply.outer(ceiling, ceiling))
        relative: Matrix = np.divide(self.different, scale, out=np.full(scale.shape, np.nan), where=scale > 0)
        np.fill_diagonal(relative, np.where(ceiling > 0, 1.0, np.nan))
        return relative

    def at_ceiling(self) -> npt.NDArray[np.bool_]:
        """Which pairs of trainings agree as far as the less alike seeds of either; False where that is not known."""
        reached: npt.NDArray[np.bool_] = self.judged() >= 0
        return reached

    def judged(self) -> Matrix:
        """How far each pair of trainings is above the less alike seeds of either; NaN where that is not known."""
        least = self.ceiling["min"].to_numpy()
        above: Matrix = self.different - np.minimum.outer(least, least)
        return above

    def spreads(self) -> tuple[float, float]:
        """How far pairs of trainings differ, and how far the pairs of seeds within one of them do.

        Returns:
            The standard deviation of `means` over the pairs of trainings, and the pooled one of the pairs of seeds
            around their pair's mean; NaN where there are too few to tell.
        """
        pairs = np.triu_indices(len(self.members), k=1)
        sizes = self._own.sum(axis=1)
        counts, means = np.multiply.outer(sizes, sizes)[pairs], self.means()[pairs]
        squares = (self._own @ np.square(self.matrix, dtype=np.float64) @ self._own.T)[pairs]
        freedom = float((counts - 1).sum())
        within = np.sqrt(max(float((squares - counts * means**2).sum()), 0.0) / freedom) if freedom else np.nan
        return float(means.std(ddof=1)) if len(means) > 1 else np.nan, float(within)
