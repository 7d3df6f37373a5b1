"""How far the overlap of two sets is an accident: of several equally important weights, some are in by order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.display.results import Shown, html_table
from gradiend_mlflow.overlap.layout.ranked import RankedSets
from gradiend_mlflow.overlap.statistics.frames import pairs_of
from gradiend_mlflow.sets.space import IntArray, Matrix
from gradiend_mlflow.wording import counted, named


@dataclass(frozen=True, eq=False, repr=False)
class Ties(Shown):
    """Which weights are in their sets by importance, and what that leaves open; returned by `Overlap.ties`.

    If more inputs have the importance of a set's last weight than are in the set, only their order decided which of
    them are in. With F the weights of a set that are surely in, and m the number of the others, which are arbitrary,
    any other order would have given an overlap of

        |F_a and F_b| <= overlap <= min(k_a, k_b, |F_a and F_b| + m_a + m_b).

    Sets that are read from files of older versions do not say how many inputs tie at their end, and parts of sets,
    such as those in one layer, cannot: of these, and of pairs with one of them, nothing is known.

    Attributes:
        labels: One label per set.
        sets: A row per label: k, the number of weights in the set; sure and arbitrary, of which it is the sum; at_end,
            how many of its weights have the importance of the last of them, and tied, how many of the GRADIEND's
            inputs. Importances are compared in float32. sure, arbitrary and tied are missing where they are not known.
        lower: The smallest number of shared weights, per pair; float64, read-only, shape (N, N), k on the diagonal,
            NaN where it is not known.
        upper: The largest, in the same way.
        shared: The number that was found.

    Example:
        >>> from dataclasses import replace
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> a = TopKSet.from_indices([0, 1, 2], space=9, importance=[2, 1, 1])
        >>> b = TopKSet.from_indices([0, 1, 3], space=9, importance=[3, 2, 1])
        >>> sets = {"a": replace(a, ties_at_cut=8), "b": replace(b, ties_at_cut=1)}
        >>> ties = compute_overlap(sets).ties
        >>> ties.sets.loc["a"].to_dict()
        {'k': 3, 'sure': 1, 'arbitrary': 2, 'at_end': 2, 'tied': 8}
        >>> ties.to_frame()
           a  b  shared  lower  upper
        0  a  b       2      1      3
    """

    labels: tuple[str, ...]
    sets: pd.DataFrame = field(repr=False)
    lower: Matrix = field(repr=False)
    upper: Matrix = field(repr=False)
    shared: IntArray = field(repr=False)

    @property
    def equal(self) -> tuple[str, ...]:
        """The labels of the sets whose importances are all equal, so that only their order chose the weights."""
        return tuple(self.sets.index[self._is_equal])

    @property
    def _is_equal(self) -> npt.NDArray[np.bool_]:
        k, at_end = self.sets["k"].to_numpy(np.int64), self.sets["at_end"].to_numpy(np.int64)
        is_whole = (self.sets["tied"] == self.sets["at_end"]).fillna(value=False).to_numpy(bool)
        equal: npt.NDArray[np.bool_] = (at_end == k) & (k > 1) & ~is_whole
        return equal

    def bounds(self) -> tuple[Matrix, Matrix]:
        """`lower` and `upper`, and something in place of what is not known: no NaN.

        Where it is not known how many inputs tie at the end of a set, its weights count as surely in, as almost all of
        them are, unless all its importances are equal: then any of them may be arbitrary, so the bounds are 0 and
        the size of the smaller set.
        """
        smaller = np.minimum.outer(*2 * (self.sets["k"].to_numpy(np.float64),))
        some_equal = np.logical_or.outer(self._is_equal, self._is_equal)
        np.fill_diagonal(some_equal, val=False)
        lower = np.where(np.isnan(self.lower), np.where(some_equal, 0.0, self.shared), self.lower)
        upper = np.where(np.isnan(self.upper), np.where(some_equal, smaller, self.shared), self.upper)
        return lower, upper

    @property
    def matter(self) -> npt.NDArray[np.bool_]:
        """Which sets hold weights that are, or may well be, in by their order alone; shape (N,)."""
        arbitrary: npt.NDArray[np.bool_] = self.sets["arbitrary"].fillna(0).gt(0).to_numpy(bool) | self._is_equal
        return arbitrary

    @property
    def unknown(self) -> tuple[str, ...]:
        """The labels of the sets of which it is not known how many inputs tie at their end."""
        return tuple(self.sets.index[self.sets["tied"].isna()])

    def to_frame(self) -> pd.DataFrame:
        """A row per pair: a, b, shared, and its lower and upper bound, which are missing where they are not known."""
        rows, columns, names = pairs_of(self.labels)
        matrices = {"shared": self.shared, "lower": self.lower, "upper": self.upper}
        numbers = {name: matrix[rows, columns] for name, matrix in matrices.items()}
        return pd.DataFrame(names | numbers).astype(dict.fromkeys(numbers, "Int64"))

    def _line(self) -> str:
        n, unknown = len(self.labels), len(self.unknown)
        arbitrary = int(self.sets["arbitrary"].fillna(0).gt(0).sum())
        known = [f"{counted(arbitrary, 'set')} of {n - unknown:,} with arbitrary weights"] * (unknown < n)
        return f"{', '.join(known + [f'{unknown:,} of {n:,} unknown'] * (unknown > 0))}: {named(self.labels)}"

    def _html(self) -> Iterator[str]:
        yield html_table(self.sets.astype(object).where(self.sets.notna(), "unknown"), index=True)


def ties_of(ranked: RankedSets, shared: IntArray) -> Ties:
    """What ties leave open of the sets' overlap, of which `shared` has the numbers, shape (N, N)."""
    sizes = ranked.sizes
    tied = np.array([np.nan if ties is None else ties for ties in ranked.ties])
    inside = np.array([_at_end(importance) for importance in ranked.importance])
    arbitrary = np.where(np.isnan(tied), np.nan, np.where(tied > inside, inside, 0.0))
    ends = np.where(np.isnan(arbitrary), sizes, sizes - arbitrary).astype(np.int64)
    sure = ranked.restricted([slice(end) for end in ends]).products(None, None) if (ends < sizes).any() else shared
    lower = sure + 0 * np.add.outer(arbitrary, arbitrary)  # NaN where either is
    if np.nansum(arbitrary):
        upper = np.minimum(lower + np.add.outer(arbitrary, arbitrary), np.minimum.outer(sizes, sizes))
    else:  # as usual; matrices of many sets are large
        upper = lower
    for matrix in (lower, upper):
        np.fill_diagonal(matrix, sizes)
    lower.flags.writeable = upper.flags.writeable = False  # they may be one
    columns = {"k": sizes, "sure": sizes - arbitrary, "arbitrary": arbitrary, "at_end": inside, "tied": tied}
    sets = pd.DataFrame(columns, index=pd.Index(ranked.labels, name="label")).astype("Int64")
    return Ties(ranked.labels, sets, lower, upper, shared)


def _at_end(importance: npt.NDArray[np.float32] | None) -> int:
    """How many weights of a set have the importance of its last one."""
    if importance is None or not len(importance):
        return 0
    return int(np.count_nonzero(importance == importance[-1]))
