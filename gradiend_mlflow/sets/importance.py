"""Rank a GRADIEND's weights by one part's importance, in one streaming pass over the tensors that the part needs.

The importances are those of `gradiend.GradiendModel.get_weight_importance`, computed in the weights' own type:

- encoder-weight: the L1 norm over the latent axis of `encoder[0].linear.weight`, shape (latent_dim, input_dim);
- decoder-weight: the L1 norm over the latent axis of `decoder[0].linear.weight`, shape (input_dim, latent_dim);
- decoder-bias: the absolute value of `decoder[0].linear.bias`, shape (input_dim,);
- decoder-sum: the absolute value of the decoder weight's sum over the latent axis plus the bias, if there is one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from gradiend_mlflow.errors import CheckpointError, MissingPartError
from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.space import FloatArray, IntArray
from gradiend_mlflow.sets.weights import DECODER_WEIGHT, ENCODER_WEIGHT, GradiendWeights

# Values per step. Most parts need NumPy alone, in steps whose temporaries fit into the processor's caches. Where torch
# has to add first, a step stays below the size from which torch spreads an operation over threads of its own: waiting
# for those costs far more than they gain when the machine is busy.
_STEP_AS_STORED = 1 << 19
_STEP_ADDED = (1 << 15) - 1
_THREADS = min(8, os.cpu_count() or 1)
# Inputs to sample before the pass if many are to be kept, so that it never collects values that are surely too small.
_SAMPLE = 1 << 16
_NO_FLOOR = -1.0


class Ranking(NamedTuple):
    """The k most important weights, most important first; everything as in `TopKSet`."""

    param_ids: IntArray
    offsets: IntArray
    importance: FloatArray
    weights: FloatArray
    ties_at_cut: int


def rank(weights: GradiendWeights, part: Part, k: int) -> Ranking:
    """The `k` most important weights of one part; of equally important ones those of lower base-global index.

    Raises:
        CheckpointError: If a weight of the part is not finite, or a tensor is missing or has another shape.
        MissingPartError: If the GRADIEND does not have the part.
    """
    signed = _signed_values(weights, part)
    try:
        found = _topk(signed, k)
    except _NotFiniteError:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        ) from None
    inputs, importance = found.inputs, found.importance
    param_ids, offsets = weights.locate(inputs)
    # gradiend writes its map in the space's order, so the inputs are in that order; sorting does not rely on it.
    order = np.lexsort((weights.space.starts[param_ids] + offsets, -importance))
    values = signed.at(inputs)[order]  # read in the file's order, which is faster
    if not (np.isfinite(values).all() and importance.max() <= np.finfo(np.float32).max):
        raise CheckpointError(f"{weights.origin}: {part} holds values beyond those of float32, in which sets are kept")
    return Ranking(param_ids[order], offsets[order], _as_kept(importance[order]), values, found.ties_at_cut)


_Index = slice | torch.Tensor


def _as_kept(importance: Any) -> Any:
    """In the type that sets keep importances in, in which ties are counted."""
    with np.errstate(over="ignore"):  # larger ones are refused in the end
        return importance.astype(np.float32, copy=False)


class _Found(NamedTuple):
    """Some inputs, ascending, their importances, and what has been left out that may yet tie with the last of them.

    Of the inputs that were left out, `left` have the importance `edge` as it is kept, and none has a larger one.
    """

    inputs: IntArray
    importance: npt.NDArray[Any]
    edge: np.float32
    left: int

    @property
    def ties_at_cut(self) -> int:
        """How many inputs have the smallest importance that was found, as it is kept."""
        kept = _as_kept(self.importance)
        cut = kept.min()
        return int(np.count_nonzero(kept == cut)) + (self.left if self.edge == cut else 0)


@dataclass(frozen=True)
class _SignedValues:
    """The signed values behind a part's importance: `take(index)` returns those of n inputs, shape (n, width)."""

    length: int
    width: int
    take: Callable[[_Index], torch.Tensor]
    as_stored: bool = True  # whether `take` reads without computing anything in torch

    @property
    def step(self) -> int:
        """How many inputs to take at a time."""
        plain = self.as_stored and self.width == 1
        return _STEP_AS_STORED if plain else max(1, _STEP_ADDED // self.width)

    def importance(self, start: int, stop: int, stride: int = 1) -> npt.NDArray[Any]:
        """The importances of inputs `start` to `stop`, or of every `stride`-th of them."""
        values = self.take(slice(start, stop, stride)).detach().cpu()
        if values.shape[1] > 1:
            return _to_numpy(values.abs().sum(dim=1))
        return abs(_to_numpy(values[:, 0]))

    def at(self, inputs: IntArray) -> FloatArray:
        """The signed values of some inputs; shape (len(inputs), width)."""
        return self.take(torch.from_numpy(inputs)).detach().cpu().float().numpy()


def _to_numpy(values: torch.Tensor) -> npt.NDArray[Any]:
    """The same numbers as NumPy's, converted without torch's threads: float64 stays, shorter types become float32."""
    if values.dtype == torch.bfloat16:  # the upper half of a float32
        return (values.view(torch.int16).numpy().astype(np.uint32) << 16).view(np.float32)
    array = values.numpy()
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def _signed_values(weights: GradiendWeights, part: Part) -> _SignedValues:
    if part == "encoder-weight":
        weight = weights.required(ENCODER_WEIGHT, (weights.latent_dim, weights.input_dim))
        return _SignedValues(weights.input_dim, weights.latent_dim, lambda index: weight[:, index].T)
    bias = weights.bias()
    if part == "decoder-bias":
        if bias is None:
            raise MissingPartError(f"{weights.origin}: this GRADIEND's decoder has no bias, so it has no decoder-bias")
        return _SignedValues(weights.input_dim, 1, bias[:, None].__getitem__)
    weight = weights.required(DECODER_WEIGHT, (weights.input_dim, weights.latent_dim))
    if part == "decoder-weight":
        return _SignedValues(weights.input_dim, weights.latent_dim, weight.__getitem__)

    def summed(index: _Index) -> torch.Tensor:
        # With a single neuron there is nothing to sum, and torch's sum is slower than a copy.
        total = weight[index][:, 0] if weights.latent_dim == 1 else weight[index].sum(dim=1)
        return (total if bias is None else _added(total, bias[index]))[:, None]

    plain = weights.latent_dim == 1 and weight.dtype != torch.bfloat16
    return _SignedValues(weights.input_dim, weights.latent_dim, summed, as_stored=plain)


def _added(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The sum in the tensors' own type; by NumPy, which starts no threads, if NumPy has the type."""
    if left.dtype == torch.bfloat16:
        return left + right
    return torch.from_numpy(left.detach().cpu().numpy() + right.detach().cpu().numpy())


class _NotFiniteError(Exception):
    """An importance is NaN or infinite."""


def _topk(values: _SignedValues, k: int) -> _Found:
    """Inputs and importances of the k most important, inputs ascending; of equal ones the first."""
    found = _topk_above(_likely_floor(values, k), values, k)
    return found if len(found.inputs) == k else _topk_above(_NO_FLOOR, values, k)


def _likely_floor(values: _SignedValues, k: int) -> float:
    """A value that probably somewhat more than k importances exceed, from a sample; not worth it for a small k."""
    if k < values.step // 8:
        return _NO_FLOOR
    stride = values.length // _SAMPLE | 1  # odd, so that it does not follow one column of a matrix
    sample = values.importance(0, values.length, stride)
    expected = k / stride
    rank = int(expected + 5 * expected**0.5) + 1  # five standard deviations on the safe side
    return float(np.partition(sample, -rank)[-rank]) if rank <= len(sample) else _NO_FLOOR


def _topk_above(floor: float, values: _SignedValues, k: int) -> _Found:
    """The k most important of those above the floor, or all of these if they are fewer."""
    segment = max(values.step, -(-values.length // _THREADS))

    def of_segment(start: int) -> _Found:
        return _topk_between(start, min(start + segment, values.length), floor, values, k)

    starts = range(0, values.length, segment)
    if len(starts) == 1:
        return of_segment(0)
    with ThreadPoolExecutor(_THREADS) as pool:
        return _largest(list(pool.map(of_segment, starts)), k)


def _topk_between(start: int, stop: int, floor: float, values: _SignedValues, k: int) -> _Found:
    """The same of inputs `start` to `stop`, in O(k) memory.

    Raises:
        _NotFiniteError: If an importance is NaN or infinite.
    """
    threshold, edge, count = floor, _as_kept(np.float64(floor)), 0
    found = [_Found(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), edge, 0)]
    for at in range(start, stop, values.step):
        importance = values.importance(at, min(at + values.step, stop))
        peak = importance.max()  # NaN if any value is
        if not np.isfinite(peak):
            raise _NotFiniteError
        if _as_kept(peak) < edge:
            continue
        # A later value that only equals the k-th largest loses the tie, so strictly greater is right.
        above = np.flatnonzero(importance > threshold)
        left = int(np.count_nonzero(_as_kept(importance) >= edge)) - len(above) if edge >= 0 else 0
        found.append(_Found(above + at, importance[above], edge, left))
        count += len(above)
        if threshold < 0 <= count - k or count >= 2 * k + _STEP_AS_STORED // 8:
            found = [_largest(found, k)]
            lowest = found[0].importance.min()
            threshold, edge, count = float(lowest), _as_kept(lowest), k
    return _largest(found, k)


def _largest(found: list[_Found], k: int) -> _Found:
    """The k largest of all that was found, in the order given; of equal values the first."""
    inputs = np.concatenate([own.inputs for own in found])
    values = np.concatenate([own.importance for own in found])
    edge = max(own.edge for own in found)
    left = sum(own.left for own in found if own.edge == edge)
    if len(values) <= k:
        return _Found(inputs, values, edge, left)
    smallest = np.partition(values, len(values) - k)[len(values) - k]
    cut = _as_kept(smallest)
    keep = values > smallest
    at_cut = np.flatnonzero(_as_kept(values) == cut)
    ties = at_cut[values[at_cut] == smallest]
    keep[ties[: k - int(np.count_nonzero(keep))]] = True
    left_now = len(at_cut) - int(np.count_nonzero(keep[at_cut]))
    return _Found(inputs[keep], values[keep], cut, left_now + (left if edge == cut else 0))
