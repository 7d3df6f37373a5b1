"""How far top-k sets agree: numbers only, from the sets alone."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap import measures
from gradiend_mlflow.overlap.chance import Chance, chance_of, expected_overlap
from gradiend_mlflow.overlap.measures import RBO_P, Value, check_p, check_value
from gradiend_mlflow.overlap.ranked import Matrix, RankedSets, common_ground, exclusive_regions, matched
from gradiend_mlflow.sets.naming import _naming
from gradiend_mlflow.sets.space import IntArray, WeightSpace
from gradiend_mlflow.sets.topk import TopKSet

if TYPE_CHECKING:
    import pandas as pd

    from gradiend_mlflow.overlap.curve import OverlapCurve
    from gradiend_mlflow.overlap.grouping import GroupedOverlap
    from gradiend_mlflow.sets.naming import Grouping


@dataclass(frozen=True, eq=False)
class Overlap:
    """The pairwise and joint overlap of N top-k sets.

    Made by `compute_overlap`. Rows and columns of every matrix follow `labels`; every matrix is symmetric. Each is
    computed when it is first asked for.

    Attributes:
        labels: One label per set, in the order given; length N.
        space: The union of the sets' spaces; `keys` are base-global indices over it.
        keys: Every weight that is in at least one set, ascending; int64, shape (U,).
        ranked: The sets over these keys, in rank order.
        selects: Which set's space has which parameter of `space`; bool, shape (N, number of parameters).
        rbo_p: The parameter p of `rbo`.
    """

    labels: tuple[str, ...]
    space: WeightSpace = field(repr=False)
    keys: IntArray = field(repr=False)
    ranked: RankedSets = field(repr=False)
    selects: npt.NDArray[np.bool_] = field(repr=False)
    rbo_p: float = RBO_P

    # ------------------------------------------------------------------------------------------------------- per pair

    @property
    def sizes(self) -> IntArray:
        """Number of weights per set; int64, shape (N,)."""
        return self.ranked.sizes

    @property
    def params(self) -> npt.NDArray[np.int32]:
        """The parameter of `space` that each weight of `keys` lies in; int32, shape (U,)."""
        bounds = np.append(self.space.starts, self.space.size)
        return np.repeat(np.arange(len(bounds) - 1, dtype=np.int32), np.diff(np.searchsorted(self.keys, bounds)))

    @cached_property
    def intersection(self) -> IntArray:
        """|A and B| per pair, so the sizes on the diagonal; int64, shape (N, N)."""
        return measures.intersection(self.ranked)

    @cached_property
    def intersection_frac(self) -> Matrix:
        """|A and B| / min(|A|, |B|) per pair, in [0, 1]; float64, shape (N, N).

        The overlap coefficient, gradiend's `intersection_frac` of the measure `topk_overlap`.
        """
        return measures.intersection_frac(self.intersection)

    @cached_property
    def jaccard(self) -> Matrix:
        """|A and B| / |A or B| per pair, in [0, 1] (Jaccard 1912); float64, shape (N, N)."""
        return measures.jaccard(self.intersection)

    @cached_property
    def mass_overlap(self) -> Matrix:
        """How much of their importance two sets have on shared weights, in [0, 1]; float64, shape (N, N).

        gradiend's measure `mass_overlap`: the mean of the two shares, each by the Euclidean norm of the importances.
        See `gradiend_mlflow.measures.mass_overlap`.
        """
        return measures.mass_overlap(self.ranked)

    @cached_property
    def cosine_signed(self) -> Matrix:
        """The cosine of the signed weights, 0 outside the sets, in [-1, 1]; float64, shape (N, N).

        gradiend's measure `cosine_signed` with `topk`; see `gradiend_mlflow.measures.cosine_signed`.

        Raises:
            InvalidInputError: If signed weights are not known, or are of different numbers of latent neurons.
        """
        return measures.cosine_signed(self.ranked)

    @cached_property
    def cosine(self) -> Matrix:
        """The absolute value of `cosine_signed`, in [0, 1]: gradiend's measure `cosine` with `topk`."""
        return np.abs(self.cosine_signed)

    @cached_property
    def spearman_signed(self) -> Matrix:
        """Spearman's correlation of the signed weights, 0 outside the sets, in [-1, 1]; float64, shape (N, N).

        gradiend's measure `spearman_signed` with `topk`, over the weights of the parameters that either run of a pair
        selects from; see `gradiend_mlflow.measures.spearman_signed`.

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
    def rbo(self) -> Matrix:
        """Rank-biased overlap with `rbo_p`, in [0, 1]; float64, shape (N, N).

        Extrapolated, after Webber, Moffat and Zobel 2010; see `gradiend_mlflow.measures.rbo`.
        """
        return measures.rbo(self.ranked, self.rbo_p)

    def values(self, value: Value = "intersection_frac") -> npt.NDArray[Any]:
        """One of the matrices by name; shape (N, N).

        Raises:
            InvalidInputError: If `value` is not the name of one, or the sets do not have what it takes.
        """
        matrix: npt.NDArray[Any] = getattr(self, check_value(value))
        return matrix

    def to_frame(self, value: Value = "intersection_frac") -> pd.DataFrame:
        """One of the matrices with the labels on both axes.

        Raises:
            InvalidInputError: As for `values`.
        """
        import pandas as pd

        return pd.DataFrame(self.values(value), index=list(self.labels), columns=list(self.labels))

    def chance(self, *, population: int | None = None) -> Chance:
        """What chance alone would give for each pair, and how unlikely that makes what is there.

        Two selections at random, of k_a and k_b weights out of N, share k_a k_b / N on average, and their number of
        shared weights has the hypergeometric distribution.

        N is the number of weights in the parameters that both sets' spaces have: those of both runs' `params`,
        before pruning. Weights outside could never be shared, so k_a and k_b count those inside only. Pruning does
        not lower N, because which weights survive it is part of what a run selects: two runs that prune alike agree
        more than chance.

        Args:
            population: Take this N for every pair instead, such as the number of inputs left by a pruning that
                all runs have in common, to ask for the agreement beyond it.

        Raises:
            InvalidInputError: If `population` is no int, or smaller than the union of two sets.
        """
        if population is None:
            return self._chance
        if not isinstance(population, (int, np.integer)) or isinstance(population, bool):
            raise InvalidInputError(f"population must be an int; got {population!r}")
        drawn, common = self._draws()
        return chance_of(self.labels, self.intersection, drawn, np.full_like(common, population))

    @cached_property
    def _chance(self) -> Chance:
        return chance_of(self.labels, self.intersection, *self._draws())

    def expected(self) -> Matrix:
        """`chance().expected` alone, which takes far less time than the probabilities."""
        return expected_overlap(*self._draws())

    def _draws(self) -> tuple[IntArray, IntArray]:
        """How many weights of A lie in the parameters that A and B have in common, and how many weights those have."""
        sizes = self.space.sizes
        params = self.params
        held = np.stack([np.bincount(params[columns], minlength=len(sizes)) for columns in self.ranked.columns])
        # In floats, because matrices of them multiply fast; exact up to 2^53.
        selects = self.selects.astype(np.float64)
        drawn = np.rint(held.astype(np.float64) @ selects.T).astype(np.int64)
        return drawn, np.rint((selects * sizes) @ selects.T).astype(np.int64)

    # ---------------------------------------------------------------------------------------------------- all together

    @property
    def membership(self) -> Any:
        """Which set holds which weight; sparse, 0 or 1, shape (N, U)."""
        return self.ranked.membership

    @property
    def presence(self) -> IntArray:
        """In how many sets each weight of `keys` is, at least 1; int64, shape (U,)."""
        return self.ranked.presence

    @cached_property
    def core(self) -> IntArray:
        """The weights that are in all sets, as base-global indices over `space`, ascending; int64."""
        core: IntArray = self.keys[self.presence == len(self.labels)]
        return core

    @property
    def union_size(self) -> int:
        """Number of weights that are in at least one set."""
        return len(self.keys)

    @cached_property
    def regions(self) -> dict[tuple[str, ...], int]:
        """How many weights lie in exactly these sets and no other, for every combination where any do.

        Keys are the sets' labels in the order of `labels`; values are at least 1 and sum to `union_size`.
        Largest first. Only combinations that occur are visited, so any number of sets is fine.
        """
        return exclusive_regions(self.ranked)

    # -------------------------------------------------------------------------------------------- of some weights only

    def top(self, k: int) -> Overlap:
        """The overlap of every set's first `k` weights; sets that hold fewer stay as they are."""
        return self.of(self.ranked.top(k))

    def restricted(self, keep: Sequence[npt.NDArray[Any]]) -> Overlap:
        """The overlap of some of the weights: `keep` has an index or a mask over each set's weights in rank order."""
        return self.of(self.ranked.restricted(keep))

    def of(self, ranked: RankedSets, selects: npt.NDArray[np.bool_] | None = None) -> Overlap:
        """The overlap of other sets over the same keys; keys that none of them holds go.

        `selects` tells of them what it tells of this overlap's sets; default the same.
        """
        used = np.zeros(len(self.keys), dtype=bool)
        used[np.concatenate(ranked.columns)] = True
        place = np.cumsum(used) - 1
        columns = tuple(place[own] for own in ranked.columns)
        return replace(
            self,
            labels=ranked.labels,
            keys=self.keys[used],
            ranked=replace(ranked, width=int(used.sum()), columns=columns),
            selects=self.selects if selects is None else selects,
        )

    def among(self, params: npt.NDArray[np.bool_]) -> Overlap:
        """The same, with chance levels among the weights of these parameters of `space` only; a mask over them."""
        return replace(self, selects=self.selects & params)

    def overlap_curve(self, ks: Sequence[int] | None = None) -> OverlapCurve:
        """Every pair's overlap as k grows from 1 to the size of the smallest set.

        Args:
            ks: The numbers of weights; default about five per factor of ten.

        Raises:
            InvalidInputError: If `ks` is empty or a k is not between 1 and the size of the smallest set.
        """
        return curve_of(self, ks)

    def by_layer(self) -> GroupedOverlap:
        """The overlap within each layer, by gradiend's names: layer_0, ...; "other" for what is in none."""
        return self.by_group("layer")

    def by_component(self) -> GroupedOverlap:
        """The overlap within each kind of parameter, by gradiend's names: embeddings, attention_query, mlp_up, ..."""
        return self.by_group("component")

    def by_param(self) -> GroupedOverlap:
        """The overlap within each parameter."""
        return self.by_group("param")

    def by_group(self, grouping: Grouping) -> GroupedOverlap:
        """The overlap within each group of parameters, and how much of each set lies in it.

        Args:
            grouping: "layer", "component", "param", a callable from a parameter's name to its group, or a mapping
                (with "other" for parameters that it lacks), as gradiend's `compute_grouped_similarity_matrices`.

        Raises:
            InvalidInputError: If `grouping` is none of these.
        """
        return grouped(self, grouping)


def compute_overlap(sets: Mapping[str, TopKSet], *, rbo_p: float = RBO_P) -> Overlap:
    """Compare top-k sets by weight identity: parameter name and flat offset, whatever each run selected.

    Args:
        sets: One set per label; at least one. Their spaces may differ in which parameters they hold.
        rbo_p: The parameter p of rank-biased overlap, between 0 and 1; see `gradiend_mlflow.measures.rbo`.

    Returns:
        The overlap, with rows and columns in the order of `sets`.

    Raises:
        InvalidInputError: If `sets` is empty or holds something that is not a `TopKSet`, or `rbo_p` is not acceptable.
        SpaceConflictError: If two sets have the same parameter with different shapes.

    Example:
        >>> a = TopKSet.from_indices([1, 2, 3], space=10)
        >>> b = TopKSet.from_indices([3, 1], space=10)
        >>> overlap = compute_overlap({"a": a, "b": b})
        >>> overlap.intersection.tolist(), overlap.intersection_frac[0, 1].item(), overlap.regions
        ([[3, 2], [2, 2]], 1.0, {('a', 'b'): 2, ('a',): 1})
        >>> overlap.chance().expected[0, 1].item()
        0.6
    """
    check_p(rbo_p)
    if not isinstance(sets, Mapping):
        raise InvalidInputError(f"sets must be a mapping from label to TopKSet; got {type(sets).__name__}")
    if not sets:
        raise InvalidInputError("compute_overlap needs at least one set; got none")
    for label, topk_set in sets.items():
        if not isinstance(topk_set, TopKSet):
            raise InvalidInputError(f"sets[{label!r}] must be a TopKSet; got {type(topk_set).__name__}")
    space, selects = common_ground(sets)
    keys, ranked = matched(sets, space)
    return Overlap(tuple(sets), space, keys, ranked, selects, rbo_p)


def grouped(overlap: Overlap, grouping: Grouping) -> GroupedOverlap:
    """The overlap within each group; see `Overlap.by_group`."""
    name_of = _naming(grouping, overlap.space.names)
    group_of = np.array([name_of(param) for param in overlap.space.names], dtype=object)
    params = overlap.params
    found = {}
    for group in dict.fromkeys(group_of):
        members = group_of == group
        inside = members[params]
        if inside.any():
            part = overlap.restricted([inside[columns] for columns in overlap.ranked.columns])
            found[str(group)] = part.among(members)
    from gradiend_mlflow.overlap.grouping import GroupedOverlap

    return GroupedOverlap(found)


_POINTS_PER_DECADE = 5


def curve_of(overlap: Overlap, ks: Sequence[int] | npt.NDArray[np.integer] | None) -> OverlapCurve:
    """The curve of an overlap's sets; see `Overlap.overlap_curve`."""
    checked = _checked(ks, int(overlap.sizes.min()))
    shape = (len(checked), len(overlap.labels), len(overlap.labels))
    intersection, expected = np.empty(shape, dtype=np.int64), np.empty(shape)
    for place, k in enumerate(checked):  # of many sets, one at a time is all that the memory can take
        prefix = overlap.top(k)
        intersection[place], expected[place] = prefix.intersection, prefix.expected()
    from gradiend_mlflow.overlap.curve import OverlapCurve

    return OverlapCurve(overlap.labels, overlap.sizes, np.array(checked, dtype=np.int64), intersection, expected)


def _checked(ks: Sequence[int] | npt.NDArray[np.integer] | None, most: int) -> list[int]:
    if ks is None:
        points = 1 + max(1, round(_POINTS_PER_DECADE * np.log10(most)))
        return sorted({round(k) for k in np.geomspace(1, most, points).tolist()})
    try:
        chosen = sorted({operator.index(k) for k in ks})
    except TypeError:
        raise InvalidInputError(f"ks must be a sequence of ints; got {ks!r}") from None
    if not chosen or chosen[0] < 1 or chosen[-1] > most:
        raise InvalidInputError(
            f"ks must lie between 1 and {most}, the size of the smallest set; got {chosen or 'none'}. "
            "Larger sets must be logged: autolog(topk=...) or log_topk(..., topk=...)"
        )
    return chosen
