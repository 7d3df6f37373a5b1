"""Rank a GRADIEND's weights by the importances of its parts, in one streaming pass over the tensors that they need.

The importances are those of `gradiend.GradiendModel.get_weight_importance`, computed in the weights' own type:

- encoder-weight: the L1 norm over the latent axis of `encoder[0].linear.weight`, shape (latent_dim, input_dim);
- decoder-weight: the L1 norm over the latent axis of `decoder[0].linear.weight`, shape (input_dim, latent_dim);
- decoder-bias: the absolute value of `decoder[0].linear.bias`, shape (input_dim,);
- decoder-sum: the absolute value of the decoder weight's sum over the latent axis plus the bias, if there is one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, ParamSpec, TypeVar

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


T = TypeVar("T")
Given = ParamSpec("Given")


class Ranking(NamedTuple):
    """The k most important weights, most important first; everything as in `TopKSet`."""

    param_ids: IntArray
    offsets: IntArray
    importance: FloatArray
    weights: FloatArray
    ties_at_cut: int


def rank(weights: GradiendWeights, parts: Sequence[Part], k: int) -> dict[Part, Ranking | CheckpointError]:
    """The `k` most important weights of each part; of equally important ones those of lower base-global index.

    Returns:
        By part, in the order given; for a part without a ranking the reason: a `MissingPartError` if the GRADIEND does
        not have it, a `CheckpointError` if a weight is not finite, or a tensor is missing or has another shape.
    """
    made = {part: _tried(_signed_values, weights, part) for part in parts}
    signed = {part: values for part, values in made.items() if isinstance(values, _SignedValues)}
    found = _topk(signed, k)
    return {
        part: values if isinstance(values, CheckpointError) else _tried(_ranking, weights, part, values, found[part])
        for part, values in made.items()
    }


def _tried(make: Callable[Given, T], *given: Given.args, **named: Given.kwargs) -> T | CheckpointError:
    try:
        return make(*given, **named)
    except CheckpointError as error:
        return error


def _ranking(weights: GradiendWeights, part: Part, signed: _SignedValues, found: _Found | None) -> Ranking:
    """What was found, in rank order and by the names of the weights."""
    if found is None:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        )
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


_Parts = Mapping[Part, _SignedValues]


def _topk(values: _Parts, k: int) -> dict[Part, _Found | None]:
    """Inputs and importances of the k most important, inputs ascending, of equal ones the first; None: not finite."""
    found = _topk_above({part: _likely_floor(own, k) for part, own in values.items()}, values, k)
    short = {part: values[part] for part, own in found.items() if own is not None and len(own.inputs) < k}
    return found | (_topk_above(dict.fromkeys(short, _NO_FLOOR), short, k) if short else {})


def _likely_floor(values: _SignedValues, k: int) -> float:
    """A value that probably somewhat more than k importances exceed, from a sample; not worth it for a small k."""
    if k < values.step // 8:
        return _NO_FLOOR
    stride = values.length // _SAMPLE | 1  # odd, so that it does not follow one column of a matrix
    sample = values.importance(0, values.length, stride)
    expected = k / stride
    rank = int(expected + 5 * expected**0.5) + 1  # five standard deviations on the safe side
    return float(np.partition(sample, -rank)[-rank]) if rank <= len(sample) else _NO_FLOOR


def _topk_above(floors: Mapping[Part, float], values: _Parts, k: int) -> dict[Part, _Found | None]:
    """Of each part the k most important of those above its floor, or all of these if they are fewer.

    All parts are ranked block by block, so that a tensor that two of them need comes from memory once.
    """
    length = max((own.length for own in values.values()), default=0)
    step = min((own.step for own in values.values()), default=1)
    segment = max(step, -(-length // _THREADS))

    def of_segment(start: int) -> list[_Found | None]:
        collectors = [_Collector(own, floors[part], k) for part, own in values.items()]
        stop = min(start + segment, length)
        for at in range(start, stop, step):
            for collector in collectors:
                collector.add(at, min(at + step, stop))
        return [collector.result() for collector in collectors]

    starts = range(0, length, segment)
    if len(starts) > 1:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(of_segment, starts))
    else:
        found = [of_segment(start) for start in starts]
    return {part: _together(own, k) for part, own in zip(values, zip(*found, strict=True), strict=True)}


def _together(found: Sequence[_Found | None], k: int) -> _Found | None:
    known = [own for own in found if own is not None]
    return _largest(known, k) if len(known) == len(found) else None


class _Collector:
    """The k most important inputs of one part, as far as they have been added, in O(k) memory."""

    def __init__(self, values: _SignedValues, floor: float, k: int) -> None:
        self._values, self._k, self._count, self._finite = values, k, 0, True
        self._threshold, self._edge = floor, _as_kept(np.float64(floor))
        self._found = [_Found(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), self._edge, 0)]

    def add(self, start: int, stop: int) -> None:
        """Look at inputs `start` to `stop`, which come after all that were added before."""
        if not self._finite:
            return
        importance = self._values.importance(start, stop)
        below = _as_kept(importance) < self._edge  # which no NaN is
        near = np.flatnonzero(np.logical_not(below, out=below))
        if not len(near):
            return
        values = importance[near]
        self._finite = bool(np.isfinite(values).all())
        # A later value that only equals the k-th largest loses the tie, so strictly greater is right.
        above = values > self._threshold
        left = len(near) - int(np.count_nonzero(above)) if self._edge >= 0 else 0
        self._found.append(_Found(near[above] + start, values[above], self._edge, left))
        self._count += len(self._found[-1].inputs)
        k = self._k
        if self._threshold < 0 <= self._count - k or self._count >= 2 * k + _STEP_AS_STORED // 8:
            self._found = [_largest(self._found, k)]
            lowest = self._found[0].importance.min()
            self._threshold, self._edge, self._count = float(lowest), _as_kept(lowest), k

    def result(self) -> _Found | None:
        """What was found; None if an importance is NaN or infinite."""
        return _largest(self._found, self._k) if self._finite else None


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
