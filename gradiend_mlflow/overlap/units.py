"""The overlap of sets of weights, or of sets of the neurons that these weights lie in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap import measures
from gradiend_mlflow.overlap.grouping import GroupedOverlap
from gradiend_mlflow.overlap.layout.neurons import NO_NEURON, Neurons, sets_of_neurons
from gradiend_mlflow.overlap.layout.ranked import Merging, common_ground, matched
from gradiend_mlflow.overlap.measures import RBO_P, Unit, check_p, check_unit
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.statistics.chance import Chance, chance_of_neurons, expected_neurons
from gradiend_mlflow.sets.anatomy.anatomy import merged
from gradiend_mlflow.sets.anatomy.naming import Grouping, Naming
from gradiend_mlflow.sets.space import IntArray, Matrix
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.wording import some_of


@dataclass(frozen=True, eq=False, repr=False)
class NeuronOverlap(Overlap):
    """The overlap of N sets of neurons, each of those that hold at least one weight of a top-k set.

    Returned by `compute_overlap(..., unit="neuron")`. A neuron is an output unit of a matrix, or a row of an
    embedding. Whatever takes some of the weights - the first k, those of a layer - takes their neurons.

    Attributes:
        weights: The overlap of the sets of weights.
        neurons: The neurons of `weights.space`, which `space` and `keys` count.
        neuron_of: The neuron of each of `weights.keys`, -1 for none.
    """

    weights: Overlap = field(kw_only=True, repr=False)
    neurons: Neurons = field(kw_only=True, repr=False)
    neuron_of: IntArray = field(kw_only=True, repr=False)

    @classmethod
    def of_weights(cls, weights: Overlap, neurons: Neurons | None = None) -> NeuronOverlap:
        """The neurons of sets of weights; `neurons` saves finding those of the base model again."""
        neurons = neurons or Neurons.of(weights.space, weights.anatomy.heads)
        neuron_of = neurons.holding(weights.keys)
        keys, ranked = sets_of_neurons(weights.ranked, neuron_of, neurons.space.size)
        known = weights.labels, neurons.space, keys, ranked, weights.selects, weights.rbo_p, weights.anatomy
        return cls(*known, weights=weights, neurons=neurons, neuron_of=neuron_of)

    def _of(self, weights: Overlap) -> NeuronOverlap:
        return NeuronOverlap.of_weights(weights, self.neurons)

    @property
    def unit(self) -> Unit:
        """What the sets are of."""
        return "neuron"

    @property
    def n_weights(self) -> IntArray:
        """How many ranked weights each set has, of which `top` takes the first; int64, shape (N,)."""
        return self.weights.sizes

    @cached_property
    def left_out(self) -> IntArray:
        """How many weights of each set lie in no neuron, because their parameter has one dimension; shape (N,)."""
        outside = self.neuron_of == NO_NEURON
        return np.array([np.count_nonzero(outside[own]) for own in self.weights.ranked.columns], dtype=np.int64)

    def notes(self) -> Iterator[str]:
        """What one should know before believing the numbers."""
        counts = zip(self.labels, self.left_out.tolist(), self.n_weights.tolist(), strict=True)
        if some := [f"{left:,} of {all_:,} weights of {label}" for label, left, all_ in counts if left]:
            yield f"Left out, because parameters of one dimension have no neurons: {', '.join(some_of(some))}."
        if self.anatomy.heads is None and self.union_size:
            yield (
                "It is not known whether matrices are stored by outputs or by inputs, so every row counts as a "
                "neuron; of GPT-2 and its like that is wrong."
            )

    # ------------------------------------------------------------------------------------------------ of other weights

    def top(self, k: int) -> NeuronOverlap:
        """The neurons of every set's first `k` weights; sets that hold fewer stay as they are."""
        return self._of(self.weights.top(k))

    def restricted(self, keep: Sequence[npt.NDArray[Any]]) -> NeuronOverlap:
        """The overlap of some of the neurons: `keep` has an index or a mask over each set's neurons in their order."""
        kept = [self.keys[own[at]] for own, at in zip(self.ranked.columns, keep, strict=True)]
        held = zip(self.weights.ranked.columns, kept, strict=True)
        return self._of(self.weights.restricted([np.isin(self.neuron_of[own], some) for own, some in held]))

    def first(self, n: int) -> NeuronOverlap:
        """The overlap of the first `n` sets."""
        return self._of(self.weights.first(n))

    def merged(self, labels: Sequence[str], members: Sequence[Sequence[int]], policy: Merging) -> NeuronOverlap:
        """One set for each several sets; see `Overlap.merged`. What all have in common are neurons, not weights."""
        together = "union" if policy == "intersection" else policy
        whole = self._of(self.weights.merged(labels, members, together))
        if policy != "intersection":
            return whole
        common = self.ranked.merged(labels, members, policy).columns
        held = zip(whole.ranked.columns, common, strict=True)
        return whole.restricted([np.isin(whole.keys[own], self.keys[some]) for own, some in held])

    def among(self, params: npt.NDArray[np.bool_]) -> NeuronOverlap:
        """The same overlap, with chance levels among the weights of some parameters of `space`; a mask over them."""
        return self._of(self.weights.among(params))

    def by_group(self, grouping: Grouping, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each group of parameters that has neurons; see `Overlap.by_group`."""
        groups = self.weights.by_group(grouping, naming=naming).overlaps
        parts = {group: self._of(part) for group, part in groups.items() if isinstance(part, Overlap)}
        return GroupedOverlap({group: part for group, part in parts.items() if part.union_size})

    # ----------------------------------------------------------------------------------------------------- in pairs

    @cached_property
    def cosine(self) -> Matrix:
        """The cosine of the neurons' importances, in [0, 1]; float64, shape (N, N).

        A set is a vector over all neurons, 0 outside the set. 0 if either vector is 0.

        Raises:
            InvalidInputError: If a set has no importances.
        """
        return measures.cosine_of_importances(self.ranked)

    @cached_property
    def cosine_signed(self) -> Matrix:
        """Not defined: raises an InvalidInputError, because neurons have no signed weights."""
        raise measures.no_signs("cosine_signed")

    @cached_property
    def spearman_signed(self) -> Matrix:
        """Not defined: raises an InvalidInputError, because neurons have no signed weights."""
        raise measures.no_signs("spearman_signed")

    @cached_property
    def sign_agreement(self) -> Matrix:
        """Not defined: raises an InvalidInputError, because neurons have no signed weights."""
        raise measures.no_signs("sign_agreement")

    def chance(self, *, population: int | None = None) -> Chance:
        """What chance alone would give for each pair.

        Two selections of weights at random, as many as the sets', hit a neuron of m weights with the probabilities
        h_a and h_b, each 1 - C(N - m, k) / C(N, k), and share the sum of h_a h_b over all neurons on average. N and k
        are as for sets of weights. There is no p-value: NaN.

        Raises:
            InvalidInputError: If `population` is given: it would not say how many weights each neuron has.
        """
        if population is not None:
            raise InvalidInputError(
                "population counts weights, and does not say how many of them each neuron has: with unit='neuron', "
                "chance cannot take it"
            )
        return self._chance

    @cached_property
    def _chance(self) -> Chance:
        return chance_of_neurons(self.labels, self.intersection, self.expected(), self.weights.draws()[1])

    def expected(self) -> Matrix:
        """`chance().expected` alone; float64, shape (N, N)."""
        selects, counts = self.selects.astype(np.float64), {}
        for size in np.unique(self.neurons.inputs[self.neurons.inputs > 0]).tolist():
            own = self.neurons.inputs == size
            common = (selects[:, own] * self.space.sizes[own]) @ selects[:, own].T
            counts[size] = np.rint(common).astype(np.int64)
        return expected_neurons(*self.weights.draws(), counts)


def compute_overlap(sets: Mapping[str, TopKSet], *, rbo_p: float = RBO_P, unit: Unit = "weight") -> Overlap:
    """Compare top-k sets by weight identity: parameter name and flat offset, whatever each run selected.

    Args:
        sets: One set per label; at least one. Their spaces may differ in which parameters they hold.
        rbo_p: The parameter p of rank-biased overlap, between 0 and 1, both excluded: the larger, the more the
            lower ranks count. With the default 0.98 the first 50 ranks carry 85 % of the weight; see `Overlap.rbo`.
        unit: "weight", or "neuron" to compare the neurons that hold at least one of each set's weights: output units
            of matrices and rows of embeddings. They are ranked by their best weight, and as important as the
            Euclidean norm of their weights in the set. Weights in parameters of one dimension are left out
            (`left_out` says how many); there is neither a measure of signs or of rank correlation nor a p-value.

    Returns:
        The overlap, with rows and columns in the order of `sets`; of neurons a `NeuronOverlap`.

    Raises:
        InvalidInputError: If `sets` is empty or holds something that is not a `TopKSet`, `rbo_p` or `unit` is not
            acceptable, or no set has a weight in any neuron.
        SpaceConflictError: If two sets have the same parameter with different shapes.

    Example:
        >>> from gradiend_mlflow import TopKSet, WeightSpace
        >>> a = TopKSet.from_indices([1, 2, 3], space=10)
        >>> b = TopKSet.from_indices([3, 1], space=10)
        >>> overlap = compute_overlap({"a": a, "b": b})
        >>> overlap.intersection.tolist(), overlap.intersection_frac[0, 1].item(), overlap.regions
        ([[3, 2], [2, 2]], 1.0, {('a', 'b'): 2, ('a',): 1})
        >>> overlap.chance().expected[0, 1].item()
        0.6
        >>> space = WeightSpace(("layer.0.query.weight",), ((5, 2),))
        >>> sets = {name: TopKSet.from_indices(own, space=space) for name, own in (("a", [0, 1, 3]), ("b", [2]))}
        >>> compute_overlap(sets).intersection[0, 1].item(), compute_overlap(sets, unit="neuron").keys.tolist()
        (0, [0, 1])
    """
    check_p(rbo_p)
    check_unit(unit)
    if not isinstance(sets, Mapping):
        raise InvalidInputError(f"sets must be a mapping from label to TopKSet; got {type(sets).__name__}")
    if not sets:
        raise InvalidInputError("compute_overlap needs at least one set; got none")
    for label, topk_set in sets.items():
        if not isinstance(topk_set, TopKSet):
            raise InvalidInputError(f"sets[{label!r}] must be a TopKSet; got {type(topk_set).__name__}")
    space, selects = common_ground({label: topk_set.space for label, topk_set in sets.items()})
    keys, ranked = matched(sets, space)
    anatomy = merged(topk_set.anatomy for topk_set in sets.values())
    overlap = Overlap(tuple(sets), space, keys, ranked, selects, rbo_p, anatomy)
    if unit == "weight":
        return overlap
    neurons = NeuronOverlap.of_weights(overlap)
    if not neurons.union_size:
        raise InvalidInputError(
            "there are no neurons to compare: all weights of all sets are in parameters of one dimension, such as "
            "biases; use unit='weight'"
        )
    return neurons
