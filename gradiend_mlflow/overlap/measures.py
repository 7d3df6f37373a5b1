"""The formulas that need more than counts: ranked sets in, one symmetric matrix out.

`PairwiseOverlap` defines each and names its source. All but one are sums of products over the weights that two sets
share (`RankedSets.products`), so no loop visits pairs.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.layout.ranked import RankedSets
from gradiend_mlflow.sets.space import IntArray, Matrix

Value = Literal[
    "intersection",
    "intersection_frac",
    "jaccard",
    "mass_overlap",
    "cosine",
    "cosine_signed",
    "spearman",
    "spearman_signed",
    "sign_agreement",
    "rbo",
]
VALUES: tuple[Value, ...] = get_args(Value)
COUNTED: tuple[Value, ...] = ("intersection", "intersection_frac", "jaccard")  # which say nothing of importances
SIGNED: tuple[Value, ...] = ("cosine_signed", "spearman_signed", "sign_agreement")  # from -1 to 1
# What sets are of: weights, or the neurons that these lie in. A neuron has no signed weight, so no measure of signs.
Unit = Literal["weight", "neuron"]
_OF_WEIGHTS_ALONE: tuple[Value, ...] = (*SIGNED, "spearman")
# What `title_of` calls each measure of sets of weights; of neurons, where that is something else.
VALUE_TITLES: dict[Value, str] = {
    "intersection": "shared weights",
    "intersection_frac": "shared weights / smaller set",
    "jaccard": "Jaccard index",
    "mass_overlap": "importance on shared weights",
    "cosine": "cosine of the weights, unsigned",
    "cosine_signed": "cosine of the weights",
    "spearman": "rank correlation of the weights, unsigned",
    "spearman_signed": "rank correlation of the weights",
    "sign_agreement": "agreement in sign on shared weights",
    "rbo": "rank-biased overlap",
}
_NEURON_TITLES: dict[Value, str] = {
    "intersection": "shared neurons",
    "intersection_frac": "shared neurons / smaller set",
    "mass_overlap": "importance on shared neurons",
    "cosine": "cosine of the neurons' importances",
}
RBO_P = 0.98


def title_of(value: Value, unit: Unit = "weight") -> str:
    """What a measure is called in figures and on pages."""
    return _NEURON_TITLES.get(value, VALUE_TITLES[value]) if unit == "neuron" else VALUE_TITLES[value]


def check_unit(unit: str) -> Unit:
    """Return `unit` if it names what sets can be of.

    Raises:
        InvalidInputError: If it does not.
    """
    return check_choice("unit", unit, get_args(Unit))


def check_value(value: str, unit: Unit = "weight") -> Value:
    """Return `value` if it names one of the overlap matrices of such sets.

    Raises:
        InvalidInputError: If it does not.
    """
    checked: Value = check_choice("value", value, VALUES)
    if unit == "neuron" and checked in _OF_WEIGHTS_ALONE:
        raise no_signs(checked)
    return checked


def no_signs(value: Value) -> InvalidInputError:
    """The error that says that a measure is not one of neurons."""
    rest = ", ".join(name for name in VALUES if name not in _OF_WEIGHTS_ALONE)
    return InvalidInputError(
        f"{value} compares signed weights, and a neuron has none: with unit='neuron', value must be one of {rest}; "
        "or pass unit='weight'"
    )


def check_p(p: float) -> float:
    """Return `p` if rank-biased overlap is defined for it.

    Raises:
        InvalidInputError: If it is not a float between 0 and 1.
    """
    if not (isinstance(p, float) and 0.0 < p < 1.0):
        raise InvalidInputError(f"p of rank-biased overlap must lie between 0 and 1, both excluded; got {p!r}")
    return p


def of_counts(
    value: Value, shared: npt.NDArray[Any], sizes: npt.NDArray[Any], others: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """A measure of `COUNTED`, from how many weights each set of `sizes` shares with each set of `others`."""
    if value == "intersection":
        return shared
    if value == "jaccard":
        return divided(shared, np.add.outer(sizes, others) - shared)
    return divided(shared, np.minimum.outer(sizes, others))


def mass_overlap(sets: RankedSets) -> Matrix:
    """See `PairwiseOverlap.mass_overlap`."""
    squares = [values.astype(np.float64) ** 2 for values in _known(sets, sets.importance, "importances")]
    shared = sets.products(squares, None)  # row A: of A's importance, what it shares with B
    share = np.sqrt(np.minimum(divided(shared, np.diag(shared)[:, None]), 1.0))
    empty = np.diag(shared) == 0
    return np.where(empty[:, None] | empty, 0.0, (share + share.T) / 2)


def cosine_signed(sets: RankedSets) -> Matrix:
    """See `PairwiseOverlap.cosine_signed`."""
    signed = _signed_weights(sets, "a cosine")
    products = np.zeros((len(signed), len(signed)))
    for neuron in range(signed[0].shape[1]):
        vectors = [x[:, neuron].astype(np.float64) for x in signed]
        products += sets.products(vectors, vectors)
    norms = np.sqrt(np.diag(products))
    return np.clip(divided(products, np.multiply.outer(norms, norms)), -1.0, 1.0)


def cosine_of_importances(sets: RankedSets) -> Matrix:
    """See `NeuronOverlap.cosine`."""
    vectors = [values.astype(np.float64) for values in _known(sets, sets.importance, "importances")]
    products = sets.products(vectors, vectors)
    norms = np.sqrt(np.diag(products))
    return np.clip(divided(products, np.multiply.outer(norms, norms)), 0.0, 1.0)


def sign_agreement(sets: RankedSets) -> Matrix:
    """See `PairwiseOverlap.sign_agreement`."""
    signed = _signed_weights(sets, "agreement in sign")
    neurons = signed[0].shape[1]
    agreement = np.zeros((len(signed), len(signed)))
    for neuron in range(neurons):
        signs = [np.sign(x[:, neuron].astype(np.float64)) for x in signed]
        agreement += sets.products(signs, signs)
    return divided(agreement, neurons * sets.products(None, None))


def spearman_signed(sets: RankedSets, length: IntArray) -> Matrix:
    """See `PairwiseOverlap.spearman_signed`.

    Args:
        sets: The sets.
        length: How many weights each pair's vectors are over; shape (N, N), symmetric.
    """
    signed = _signed_weights(sets, "a rank correlation")
    ranked = [_centred_ranks(x) for x in signed]
    # Centred ranks are sign * length / 2 + constant. With those of the zeros subtracted, only shared weights add up.
    half = length * signed[0].shape[1] / 2
    products = np.zeros((3, *length.shape))
    for neuron in range(signed[0].shape[1]):
        signs = [sign[:, neuron] for sign, _, _ in ranked]
        constants = [constant[:, neuron] for _, constant, _ in ranked]
        mixed = sets.products(signs, constants)
        products += [sets.products(signs, signs), mixed + mixed.T, sets.products(constants, constants)]
    zeros = np.array([zero for _, _, zero in ranked])
    covariance = half**2 * products[0] + half * products[1] + products[2] - 2 * half * np.multiply.outer(zeros, zeros)
    own = [np.diag(product)[:, None] for product in products]
    # Row A, column B: the variance of A's vector over the length that the pair has.
    variance = half**2 * own[0] + half * own[1] + own[2] - 2 * half * zeros[:, None] ** 2
    scale = np.sqrt(np.maximum(variance, 0.0) * np.maximum(variance.T, 0.0))
    return np.clip(divided((covariance + covariance.T) / 2, scale), -1.0, 1.0)


def _centred_ranks(weights: npt.NDArray[Any]) -> tuple[Matrix, Matrix, float]:
    """The centred ranks of a set's entries among zeros, as sign * length / 2 + constant, and that of the zeros.

    Returns:
        The signs, the constants, and the zeros' centred rank: with n- negative and n+ positive entries it is
        (n- - n+) / 2, whatever the length.
    """
    values = weights.astype(np.float64)
    positive, negative = values > 0, values < 0
    zero = (np.count_nonzero(negative) - np.count_nonzero(positive)) / 2
    constant = np.zeros(values.shape)
    constant[negative] = _ranks(values[negative]) - 0.5 - zero
    constant[positive] = _ranks(values[positive]) - 0.5 - np.count_nonzero(positive) - zero
    return np.sign(values), constant, zero


def _ranks(values: Matrix) -> Matrix:
    """From 1; equal values have the mean of their ranks."""
    return np.asarray(pd.Series(values).rank(), dtype=np.float64)


def rbo(sets: RankedSets, p: float) -> Matrix:
    """See `PairwiseOverlap.rbo`; `p` is the persistence of Webber et al., which `check_p` accepts."""
    _known(sets, sets.importance, "ranks")
    sets = sets.top(
        math.ceil(math.log(np.finfo(float).epsneg) / math.log(p))
    )  # all deeper ranks together weigh less than a rounding error
    smaller = np.minimum.outer(sets.sizes, sets.sizes)
    larger = np.maximum.outer(sets.sizes, sets.sizes)
    depths = np.arange(1, max(int(sets.sizes.max()), 1) + 1)
    series = np.concatenate([[0.0], np.cumsum(p**depths / depths)])  # [d]: the sum of p^i / i for i up to d
    shared, early, before = _shared_depths(sets, series)
    # sum over d of X_d p^d / d: a weight whose deeper rank is m counts in X_m, X_m+1, ... up to the longer end.
    agreement = shared * series[larger] - before
    # Beyond its end, the shorter set is taken to agree as it does at its end: in X_s of s weights.
    tail = np.cumsum(np.concatenate([[0.0], p**depths]))
    rate = divided(early, smaller)
    agreement += rate * (tail[larger] - tail[smaller]) - early * (series[larger] - series[smaller])
    end = divided(shared - early, larger) + rate
    extrapolated: Matrix = np.clip((1 - p) / p * agreement + end * p**larger, 0.0, 1.0)
    return extrapolated


def _shared_depths(sets: RankedSets, series: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Sums over the weights that two sets share; the depth of such a weight is the deeper of its two ranks.

    Returns:
        Per pair, the number of shared weights; the number of those whose depth is at most the smaller set's size; the
        sum of series[depth - 1].
    """
    shared, n, sizes = sets.shared.tocsr(), len(sets.labels), sets.sizes
    holders = np.repeat(np.arange(n), np.diff(shared.indptr))
    ranks = shared.data - (np.cumsum(sizes) - sizes)[holders] + 1
    counts = sets.products(None, None)
    early, before = counts.copy(), np.diag(np.concatenate([[0.0], np.cumsum(series)])[sizes])
    absent = len(series)  # deeper than any rank, where the series adds nothing
    added = np.concatenate([[0.0], series[:-1], [0.0]])
    rank_in_this = np.full(shared.shape[1], absent)
    for this in range(n - 1):
        own, rest = slice(*shared.indptr[this : this + 2]), slice(shared.indptr[this + 1], None)  # each pair once
        rank_in_this[shared.indices[own]] = ranks[own]
        depth = np.maximum(rank_in_this[shared.indices[rest]], ranks[rest])
        rank_in_this[shared.indices[own]] = absent
        others = slice(this + 1, None)
        before[this, others] = before[others, this] = np.bincount(holders[rest], added[depth], n)[others]
        if (sizes != sizes[0]).any():  # else every shared weight is early
            in_both = depth <= np.minimum(sizes[this], sizes)[holders[rest]]
            early[this, others] = early[others, this] = np.bincount(holders[rest], in_both, n)[others]
    return counts, early, before


def _signed_weights(sets: RankedSets, what: str) -> tuple[npt.NDArray[Any], ...]:
    """The signed weights of every set, if all are known and have the same number of latent neurons."""
    signed = _known(sets, sets.weights, "signed weights")
    depths = {label: x.shape[1] for label, x in zip(sets.labels, signed, strict=True)}
    if len(set(depths.values())) > 1:
        found = ", ".join(f"{label!r} has {depth}" for label, depth in depths.items())
        raise InvalidInputError(
            f"{what} needs the same number of latent neurons in every set; {found}. "
            "Measures that need no signed weights do not need that"
        )
    return signed


def _known(sets: RankedSets, values: tuple[npt.NDArray[Any] | None, ...], what: str) -> tuple[npt.NDArray[Any], ...]:
    for label, own in zip(sets.labels, values, strict=True):
        if own is None or np.isnan(own).any():
            raise InvalidInputError(
                f"the {what} of {label!r} are not known; intersection, intersection_frac and jaccard need none"
            )
    return tuple(own for own in values if own is not None)


def divided(numbers: npt.NDArray[Any], by: npt.NDArray[Any]) -> Matrix:
    """The quotient, and 0 where the divisor is 0; float64."""
    quotient: Matrix = np.divide(numbers, by, out=np.zeros(np.shape(numbers)), where=np.asarray(by) != 0)
    return quotient
