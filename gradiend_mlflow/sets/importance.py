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
    """The k most important weights, most important first; each array as in `TopKSet`."""

    param_ids: IntArray
    offsets: IntArray
    importance: FloatArray
    weights: FloatArray


def rank(weights: GradiendWeights, part: Part, k: int) -> Ranking:
    """The `k` most important weights of one part; of equally important ones those of lower base-global index.

    Raises:
        CheckpointError: If a weight of the part is not finite, or a tensor is missing or has another shape.
        MissingPartError: If the GRADIEND does not have the part.
    """
    signed = _signed_values(weights, part)
    try:
        inputs, importance = _topk(signed, k)
    except _NotFiniteError:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        ) from None
    param_ids, offsets = weights.locate(inputs)
    # gradiend writes its map in the space's order, so the inputs are in that order; sorting does not rely on it.
    order = np.lexsort((weights.space.starts[param_ids] + offsets, -importance))
    values = signed.at(inputs)[order]  # read in the file's order, which is faster
    if not (np.isfinite(values).all() and importance.max() <= np.finfo(np.float32).max):
        raise CheckpointError(f"{weights.origin}: {part} holds values beyond those of float32, in which sets are kept")
    return Ranking(param_ids[order], offsets[order], importance[order].astype(np.float32, copy=False), values)


_Index = slice | torch.Tensor
_Found = tuple[IntArray, npt.NDArray[Any]]  # some inputs, ascending, and their importances


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
    return found if len(found[0]) == k else _topk_above(_NO_FLOOR, values, k)


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
    found: list[_Found] = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))]
    threshold, count = floor, 0
    for at in range(start, stop, values.step):
        importance = values.importance(at, min(at + values.step, stop))
        peak = importance.max()  # NaN if any value is
        if not np.isfinite(peak):
            raise _NotFiniteError
        if peak <= threshold:
            continue
        # A later value that only equals the k-th largest loses the tie, so strictly greater is right.
        above = np.flatnonzero(importance > threshold)
        found.append((above + at, importance[above]))
        count += len(above)
        if threshold < 0 <= count - k or count >= 2 * k + _STEP_AS_STORED // 8:
            found = [_largest(found, k)]
            threshold, count = float(found[0][1].min()), k
    return _largest(found, k)


def _largest(found: list[_Found], k: int) -> _Found:
    """The k largest of all that was found, in the order given; of equal values the first."""
    inputs = np.concatenate([inputs for inputs, _ in found])
    values = np.concatenate([values for _, values in found])
    if len(values) <= k:
        return inputs, values
    smallest = np.partition(values, len(values) - k)[len(values) - k]
    keep = values > smallest
    ties = np.flatnonzero(values == smallest)
    keep[ties[: k - int(np.count_nonzero(keep))]] = True
    return inputs[keep], values[keep]
