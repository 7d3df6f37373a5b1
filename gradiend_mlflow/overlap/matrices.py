"""The overlap of every pair of sets, as matrices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.overlap import measures
from gradiend_mlflow.overlap.any_overlap import AnyOverlap
from gradiend_mlflow.overlap.layout.ranked import RankedSets, per_weight
from gradiend_mlflow.overlap.layout.ties import Ties, ties_of
from gradiend_mlflow.overlap.measures import COUNTED, RBO_P, Value, check_value, of_counts
from gradiend_mlflow.overlap.statistics.chance import Chance, chance_of, expected_overlap
from gradiend_mlflow.overlap.statistics.frames import square_frame
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.space import IntArray, Matrix, WeightSpace


@dataclass(frozen=True, eq=False, repr=False)
class PairwiseOverlap(AnyOverlap):
    """What `Overlap` says of every pair of N sets; its attributes are described there."""

    labels: tuple[str, ...]
    space: WeightSpace = field(repr=False)
    keys: IntArray = field(repr=False)
    ranked: RankedSets = field(repr=False)
    selects: npt.NDArray[np.bool_] = field(repr=False)
    rbo_p: float = RBO_P
    anatomy: Anatomy = field(default_factory=Anatomy, repr=False)

    @property
    def sizes(self) -> IntArray:
        """Number of weights per set; int64, shape (N,)."""
        return self.ranked.sizes

    @property
    def params(self) -> npt.NDArray[np.int32]:
        """The parameter of `space` that each weight of `keys` lies in; int32, shape (U,)."""
        return per_weight(np.arange(len(self.space.names), dtype=np.int32), self.keys, self.space)

    @cached_property
    def intersection(self) -> IntArray:
        """|A and B| per pair, so the sizes on the diagonal; int64, shape (N, N)."""
        return self.ranked.products(None, None).astype(np.int64)

    @cached_property
    def ties(self) -> Ties:
        """How far `intersection` depends on which of several equally important weights are in their sets."""
        return ties_of(self.ranked, self.intersection)

    def tie_bounds(self, value: Value = "intersection_frac") -> tuple[Matrix, Matrix] | None:
        """The smallest and the largest `values` whichever tied weights are in their sets; see `Ties.bounds`.

        Returns:
            Two matrices, float64, shape (N, N); None for a measure that does not only count.
        """
        if value not in COUNTED:
            return None
        lower, upper = (of_counts(value, bound, self.sizes, self.sizes) for bound in self.ties.bounds())
        return lower, upper

    @cached_property
    def intersection_frac(self) -> Matrix:
        """|A and B| / min(|A|, |B|) per pair, in [0, 1]; 0 for an empty set; float64, shape (N, N).

        The overlap coefficient (Szymkiewicz 1934, Simpson 1943), gradiend's `intersection_frac` of the measure
        `topk_overlap`.
        """
        return of_counts("intersection_frac", self.intersection, self.sizes, self.sizes)

    @cached_property
    def jaccard(self) -> Matrix:
        """|A and B| / |A or B| per pair, in [0, 1] (Jaccard 1912); 0 for two empty sets; float64, shape (N, N)."""
        return of_counts("jaccard", self.intersection, self.sizes, self.sizes)

    @cached_property
    def mass_overlap(self) -> Matrix:
        """How much of their importance two sets have on shared weights, in [0, 1]; float64, shape (N, N).

        gradiend's measure `mass_overlap`. With the importance a_w of weight w in A, it is (|a on A and B| / |a| +
        |b on A and B| / |b|) / 2, where |.| is the Euclidean norm. 0 if the importances of either set are all 0.

        Raises:
            InvalidInputError: If a set has no importances.
        """
        return measures.mass_overlap(self.ranked)

    @cached_property
    def cosine_signed(self) -> Matrix:
        """The cosine of the signed weights, in [-1, 1]; float64, shape (N, N).

        gradiend's measure `cosine_signed` with `topk`. A set is a vector over all weights, 0 outside the set, with
        one entry per weight and latent neuron. 0 if either vector is 0.

        Raises:
            InvalidInputError: If the signed weights of a set are not known, or two sets have them for different
                numbers of latent neurons.
        """
        return measures.cosine_signed(self.ranked)

    @cached_property
    def cosine(self) -> Matrix:
        """The absolute value of `cosine_signed`, in [0, 1]: gradiend's measure `cosine` with `topk`."""
        return np.abs(self.cosine_signed)

    @cached_property
    def spearman_signed(self) -> Matrix:
        """Spearman's rank correlation of the signed weights, in [-1, 1]; float64, shape (N, N).

        gradiend's measure `spearman_signed` with `topk`. A set is a vector as for `cosine_signed`, here over the
        weights of the parameters that either run of a pair selects from. Its entries are replaced by their ranks,
        those of equal entries by their mean rank, and the correlation is Pearson's of the ranks. The zeros count:
        small sets that share nothing are nearly uncorrelated. 0 if either vector is constant.

        Raises:
            InvalidInputError: As for `cosine_signed`.
        """
        selected = self.selects.astype(np.int64)
        both = (selected * self.space.sizes) @ selected.T
        own = np.diag(both)
        return measures.spearman_signed(self.ranked, np.add.outer(own, own) - both)

    @cached_property
    def spearman(self) -> Matrix:
        """The absolute value of `spearman_signed`, in [0, 1]: gradiend's measure `spearman` with `topk`."""
        return np.abs(self.spearman_signed)

    @cached_property
    def sign_agreement(self) -> Matrix:
        """Whether two sets change the weights that they share in the same directions, in [-1, 1]; shape (N, N).

        The mean of sign(a) * sign(b) over the shared weights and the latent neurons: 1 if all signs agree, -1 if all
        are opposite, near 0 if they agree by chance. A weight of 0 agrees with nothing, itself included. 0 if nothing
        is shared. How much is shared does not matter, and neither does how large the weights are.

        Raises:
            InvalidInputError: As for `cosine_signed`.
        """
        return measures.sign_agreement(self.ranked)

    @cached_property
    def rbo(self) -> Matrix:
        """Rank-biased overlap with p = `rbo_p`, extrapolated, in [0, 1]; float64, shape (N, N).

        The agreement of two rankings' first d weights, |A[:d] and B[:d]| / d, averaged over all depths d with weights
        proportional to p^(d-1): the higher the ranks at which two sets agree, the larger. Beyond the known ranks, the
        agreement is taken to stay as it is at the end (Webber, Moffat and Zobel 2010, equation 32). With p = 0.98 the
        first 50 ranks carry 85 % of the weight (with 0.9 the first 10, with 0.999 the first 1000).

        Raises:
            InvalidInputError: If a set has no ranking.
        """
        return measures.rbo(self.ranked, self.rbo_p)

    def values(self, value: Value = "intersection_frac") -> npt.NDArray[Any]:
        """One of the matrices by name; shape (N, N).

        Raises:
            InvalidInputError: If `value` is not the name of one, or the sets lack what it is computed from.
        """
        matrix: npt.NDArray[Any] = getattr(self, check_value(value, self.unit))
        return matrix

    def to_frame(self, value: Value = "intersection_frac") -> pd.DataFrame:
        """One of the matrices with the labels on both axes.

        Raises:
            InvalidInputError: As for `values`.
        """
        return square_frame(self.values(value), self.labels)

    def chance(self, *, population: int | None = None) -> Chance:
        """What chance alone would give for each pair, and how unlikely that makes the overlap found.

        Two random selections, of k_a and k_b weights out of N, share k_a k_b / N on average, and their number of
        shared weights has the hypergeometric distribution.

        N is the number of weights in the parameters that both sets' spaces have: those of both runs' `params`,
        before pruning. Weights outside could never be shared, so k_a and k_b count only those inside. Pruning does
        not lower N, because which weights survive it is part of what a run selects: two runs that prune alike agree
        more than chance.

        Args:
            population: Take this N for every pair instead. If all runs have a pruning in common, the number of
                inputs that it left gives the agreement beyond that pruning.

        Raises:
            InvalidInputError: If `population` is not an int, or is smaller than the union of two sets.
        """
        if population is None:
            return self._chance
        drawn, common = self.draws()
        wanted = np.full_like(common, check_int("population", population, least=0))
        return chance_of(self.labels, self.intersection, drawn, wanted)

    @cached_property
    def _chance(self) -> Chance:
        return chance_of(self.labels, self.intersection, *self.draws())

    def expected(self) -> Matrix:
        """`chance().expected` alone, which takes far less time than the probabilities; float64, shape (N, N)."""
        return expected_overlap(*self.draws())

    def draws(self) -> tuple[IntArray, IntArray]:
        """How many weights of A lie in the parameters that A and B have in common, and how many weights those have."""
        sizes = self.space.sizes
        numbers = np.arange(len(sizes), dtype=np.min_scalar_type(len(sizes)))  # the narrower, the faster to look up
        params = per_weight(numbers, self.keys, self.space)
        held = np.stack([np.bincount(params[columns], minlength=len(sizes)) for columns in self.ranked.columns])
        # In floats, because their matrix products are fast; exact up to 2^53.
        selects = self.selects.astype(np.float64)
        drawn = np.rint(held.astype(np.float64) @ selects.T).astype(np.int64)
        return drawn, np.rint((selects * sizes) @ selects.T).astype(np.int64)
