"""The formulas: ranked sets in, one symmetric matrix out; each with its source.

All but one are products over the weights that two sets share (`RankedSets.products`): no loop visits pairs.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.ranked import Matrix, RankedSets
from gradiend_mlflow.sets.space import IntArray

Value = Literal[
    "intersection",
    "intersection_frac",
    "jaccard",
    "mass_overlap",
    "cosine",
    "cosine_signed",
    "spearman",
    "spearman_signed",
    "rbo",
]
VALUES: tuple[Value, ...] = get_args(Value)
SIGNED: tuple[Value, ...] = ("cosine_signed", "spearman_signed")  # from -1 to 1
RBO_P = 0.98
_ROUNDING = 2.0**-53


def check_value(value: str) -> Value:
    """Return `value` if it names one of the overlap matrices.

    Raises:
        InvalidInputError: If it does not.
    """
    return check_choice("value", value, VALUES)


def check_p(p: float) -> float:
    """Return `p` if rank-biased overlap is defined for it.

    Raises:
        InvalidInputError: If it does not lie between 0 and 1.
    """
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0.0 < p < 1.0:
        raise InvalidInputError(f"p of rank-biased overlap must lie between 0 and 1, both excluded; got {p!r}")
    return float(p)


def intersection(sets: RankedSets) -> IntArray:
    """|A and B| per pair; int64, shape (N, N)."""
    return sets.products(None, None).astype(np.int64)


def intersection_frac(shared: IntArray) -> Matrix:
    """The overlap coefficient |A and B| / min(|A|, |B|) (Szymkiewicz 1934, Simpson 1943); 0 for an empty set."""
    sizes = np.diag(shared)
    return _divided(shared, np.minimum.outer(sizes, sizes))


def jaccard(shared: IntArray) -> Matrix:
    """|A and B| / |A or B| (Jaccard 1912); 0 for two empty sets."""
    sizes = np.diag(shared)
    return _divided(shared, np.add.outer(sizes, sizes) - shared)


def mass_overlap(sets: RankedSets) -> Matrix:
    """The mean of both sets' shares of importance that lies on shared weights, in [0, 1]; gradiend's `mass_overlap`.

    With the importance a_w of weight w in A: (|a on A and B| / |a| + |b on A and B| / |b|) / 2, where |.| is the
    Euclidean norm. 0 if the importances of either set are all 0.

    Raises:
        InvalidInputError: If a set has no importances.
    """
    squares = [values.astype(np.float64) ** 2 for values in _known(sets, sets.importance, "importances")]
    shared = sets.products(squares, None)  # row A: of A's importance, what it shares with B
    share = np.sqrt(np.minimum(_divided(shared, np.diag(shared)[:, None]), 1.0))
    empty = np.diag(shared) == 0
    return np.where(empty[:, None] | empty, 0.0, (share + share.T) / 2)


def cosine_signed(sets: RankedSets) -> Matrix:
    """The cosine of the signed weights, in [-1, 1]; gradiend's `cosine_signed` with `topk`.

    A set is a vector over all weights, 0 outside the set, with one entry per weight and latent neuron. 0 if either
    vector is 0. gradiend's `cosine` is its absolute value.

    Raises:
        InvalidInputError: If the signed weights of a set are not known, or two sets have them for different numbers
            of latent neurons, so that there is no cosine.
    """
    signed = _signed_weights(sets, "a cosine")
    products = np.zeros((len(signed), len(signed)))
    for neuron in range(signed[0].shape[1]):
        vectors = [x[:, neuron].astype(np.float64) for x in signed]
        products += sets.products(vectors, vectors)
    norms = np.sqrt(np.diag(products))
    return np.clip(_divided(products, np.multiply.outer(norms, norms)), -1.0, 1.0)


def spearman_signed(sets: RankedSets, length: IntArray) -> Matrix:
    """Spearman's rank correlation of the signed weights, in [-1, 1]; gradiend's `spearman_signed` with `topk`.

    A set is a vector over all weights, 0 outside the set, as for `cosine_signed`; its entries are replaced by their
    ranks, those of equal entries by their mean rank, and the correlation is Pearson's of the ranks. So it is about the
    zeros too: where the sets are small, two that share nothing are nearly uncorrelated. 0 if either vector is
    constant. gradiend's `spearman` is its absolute value.

    Args:
        sets: The sets.
        length: How many weights each pair's vectors are over; shape (N, N), symmetric.

    Raises:
        InvalidInputError: As for `cosine_signed`.
    """
    signed = _signed_weights(sets, "a rank correlation")
    ranked = [_centred_ranks(x) for x in signed]
    # Centred ranks are sign * length / 2 + constant; less those of the zeros, only shared weights have products.
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
    variance = (
        half**2 * own[0] + half * own[1] + own[2] - 2 * half * zeros[:, None] ** 2
    )  # [A, B]: of A, over B's length
    scale = np.sqrt(np.maximum(variance, 0.0) * np.maximum(variance.T, 0.0))
    return np.clip(_divided((covariance + covariance.T) / 2, scale), -1.0, 1.0)


def _centred_ranks(weights: npt.NDArray[Any]) -> tuple[Matrix, Matrix, float]:
    """The ranks of a set's entries among zeros, centred, as sign * length / 2 + constant; and that of the zeros.

    With n- negative and n+ positive entries the zeros' centred rank is (n- - n+) / 2, whatever the length.
    """
    values = weights.astype(np.float64)
    positive, negative = values > 0, values < 0
    zero = (np.count_nonzero(negative) - np.count_nonzero(positive)) / 2
    constant = np.zeros(values.shape)
    constant[negative] = rankdata(values[negative]) - 0.5 - zero
    constant[positive] = rankdata(values[positive]) - 0.5 - np.count_nonzero(positive) - zero
    return np.sign(values), constant, zero


def rbo(sets: RankedSets, p: float = RBO_P) -> Matrix:
    """Rank-biased overlap, extrapolated, in [0, 1] (Webber, Moffat and Zobel 2010, equation 32).

    The agreement of two rankings' first d weights, |A[:d] and B[:d]| / d, averaged over all depths d with weights
    proportional to p^(d-1): the higher the ranks at which two sets agree, the higher. Beyond the ranks that are
    known, the agreement is taken to stay as it is at the end. With the default p = 0.98 the first 50 ranks carry 85 %
    of the weight (with 0.9 the first 10, with 0.999 the first 1000).

    Args:
        sets: The sets; they may differ in size.
        p: How little the depth matters, between 0 and 1; never 1.

    Raises:
        InvalidInputError: If a set has no ranking, or `p` is not acceptable.
    """
    check_p(p)
    _known(sets, sets.importance, "ranks")
    sets = sets.top(math.ceil(math.log(_ROUNDING) / math.log(p)))  # all deeper ranks together weigh no more
    smaller = np.minimum.outer(sets.sizes, sets.sizes)
    larger = np.maximum.outer(sets.sizes, sets.sizes)
    depths = np.arange(1, max(int(sets.sizes.max()), 1) + 1)
    series = np.concatenate([[0.0], np.cumsum(p**depths / depths)])  # [d]: the sum of p^i / i for i up to d
    shared, early, before = _shared_depths(sets, series)
    # sum over d of X_d p^d / d: a weight whose deeper rank is m counts in X_m, X_m+1, ... up to the longer end.
    agreement = shared * series[larger] - before
    # Beyond its end, the shorter set is taken to go on agreeing as it did at its end: in X_s of s weights.
    tail = np.cumsum(np.concatenate([[0.0], p**depths]))
    rate = _divided(early, smaller)
    agreement += rate * (tail[larger] - tail[smaller]) - early * (series[larger] - series[smaller])
    end = _divided(shared - early, larger) + rate
    extrapolated: Matrix = np.clip((1 - p) / p * agreement + end * p**larger, 0.0, 1.0)
    return extrapolated


def _shared_depths(sets: RankedSets, series: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Sums over the weights that two sets share; `depth` is a weight's deeper rank of the two.

    Returns:
        How many there are; how many of depths up to the size of the smaller set; the sum of series[depth - 1].
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
        own, rest = slice(*shared.indptr[this : this + 2]), slice(shared.indptr[this + 1], None)  # every pair once
        rank_in_this[shared.indices[own]] = ranks[own]
        depth = np.maximum(rank_in_this[shared.indices[rest]], ranks[rest])
        rank_in_this[shared.indices[own]] = absent
        others = slice(this + 1, None)
        before[this, others] = before[others, this] = _per_set(holders[rest], added[depth], n)[others]
        if (sizes != sizes[0]).any():  # else all that is shared is early
            in_both = depth <= np.minimum(sizes[this], sizes)[holders[rest]]
            early[this, others] = early[others, this] = _per_set(holders[rest], in_both, n)[others]
    return counts, early, before


def _per_set(holders: IntArray, values: npt.NDArray[Any], n: int) -> Matrix:
    total: Matrix = np.bincount(holders, weights=values, minlength=n).astype(np.float64, copy=False)
    return total


def _signed_weights(sets: RankedSets, what: str) -> tuple[npt.NDArray[Any], ...]:
    """The signed weights of every set, if all are known and of as many latent neurons."""
    signed = _known(sets, sets.weights, "signed weights")
    depths = {label: x.shape[1] for label, x in zip(sets.labels, signed, strict=True)}
    if len(set(depths.values())) > 1:
        found = ", ".join(f"{label!r} has {depth}" for label, depth in depths.items())
        raise InvalidInputError(
            f"{what} needs the same number of latent neurons in every set; {found}. The other measures do not."
        )
    return signed


def _known(sets: RankedSets, values: tuple[npt.NDArray[Any] | None, ...], what: str) -> tuple[npt.NDArray[Any], ...]:
    for label, own in zip(sets.labels, values, strict=True):
        if own is None or np.isnan(own).any():
            raise InvalidInputError(
                f"the {what} of {label!r} are not known; intersection, intersection_frac and jaccard need none"
            )
    return tuple(own for own in values if own is not None)


def _divided(numbers: npt.NDArray[Any], by: npt.NDArray[Any]) -> Matrix:
    """The quotient, and 0 where the divisor is."""
    quotient: Matrix = np.divide(numbers, by, out=np.zeros(np.shape(numbers)), where=np.asarray(by) != 0)
    return quotient
