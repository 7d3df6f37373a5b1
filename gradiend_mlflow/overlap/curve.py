"""How the overlap grows with k: the prefixes of ranked sets are the sets of every smaller k."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gradiend_mlflow.overlap.ranked import Matrix
from gradiend_mlflow.sets.space import IntArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class OverlapCurve:
    """Every pair's overlap among the first k weights of each set, for several k; made by `overlap_curve`.

    Attributes:
        labels: One label per set, N of them.
        sizes: Number of weights per set; int64, shape (N,). No k is larger than the least of them.
        ks: The numbers of weights, ascending; int64, shape (K,).
        intersection: Shared weights; int64, shape (K, N, N).
        expected: What chance alone would give, as `Chance.expected`; float64, shape (K, N, N).

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {"a": TopKSet.from_indices([0, 1, 2], space=9), "b": TopKSet.from_indices([1, 0, 5], space=9)}
        >>> compute_overlap(sets).overlap_curve().intersection[:, 0, 1].tolist()
        [0, 2, 2]
    """

    labels: tuple[str, ...]
    sizes: IntArray
    ks: IntArray
    intersection: IntArray = field(repr=False)
    expected: Matrix = field(repr=False)

    @property
    def intersection_frac(self) -> Matrix:
        """The share of shared weights, in [0, 1]; float64, shape (K, N, N)."""
        return self.intersection / self.ks[:, None, None]

    def to_frame(self) -> pd.DataFrame:
        """One row per pair and k: a, b, k, intersection, intersection_frac, jaccard, expected, lift; pair by pair."""
        import pandas as pd

        rows, columns = np.triu_indices(len(self.labels), k=1)
        names = np.array(self.labels, dtype=object)
        ks = np.tile(self.ks, len(rows))
        shared = self.intersection[:, rows, columns].T.ravel()
        expected = self.expected[:, rows, columns].T.ravel()
        return pd.DataFrame(
            {
                "a": np.repeat(names[rows], len(self.ks)),
                "b": np.repeat(names[columns], len(self.ks)),
                "k": ks,
                "intersection": shared,
                "intersection_frac": shared / ks,
                "jaccard": shared / (2 * ks - shared),
                "expected": expected,
                "lift": np.divide(shared, expected, out=np.full(len(shared), np.nan), where=expected > 0),
            }
        )
