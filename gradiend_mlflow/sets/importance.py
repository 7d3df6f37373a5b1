"""From a GRADIEND's weights to its top-k sets, streaming: the one tensor that a part needs passes once.

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
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gradiend_mlflow.errors import CheckpointError, MissingPartError
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, Part, check_part, check_topk, resolve_topk
from gradiend_mlflow.sets.space import FloatArray, IntArray
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.sets.weights import DECODER_WEIGHT, ENCODER_WEIGHT, GradiendWeights

# Values per step. Most go through NumPy alone, in steps whose temporaries stay in the processor's caches. Where torch
# has to add first, the steps are below the size from which it spreads an operation over its own threads: waiting for
# those costs far more than they bring when the machine is busy.
_STEP_AS_STORED = 1 << 19
_STEP_ADDED = (1 << 15) - 1
_THREADS = min(8, os.cpu_count() or 1)
# Inputs to look at before the pass if many are to be kept: what is surely too small is then never collected.
_SAMPLE = 1 << 16
_NO_FLOOR = -1.0


def rank(weights: GradiendWeights, part: Part, topk: float = DEFAULT_TOPK) -> TopKSet:
    """The top-k set of one part; see `TopKSet.from_checkpoint`."""
    part = check_part(part)
    topk = check_topk(topk)
    k = resolve_topk(topk, weights.input_dim)
    try:
        ranked = _ranked(weights, _signed_values(weights, part), k)
    except _NotFiniteError:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        ) from None
    return TopKSet(
        part=part,
        topk=topk,
        input_dim=weights.input_dim,
        space=weights.space,
        latent_dim=weights.latent_dim,
        **ranked,
    )


def _ranked(weights: GradiendWeights, signed: _SignedValues, k: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the set; apart, so that what they were sorted from is gone when the set copies them."""
    inputs, importance = _topk(signed, k)
    param_ids, offsets = weights.locate(inputs)
    # Inputs follow the space's order wherever gradiend wrote the map; sorting makes the ties' rule hold anyhow.
    order = np.lexsort((weights.space.starts[param_ids] + offsets, -importance))
    return {
        "param_ids": param_ids[order],
        "offsets": offsets[order],
        "importance": importance[order].astype(np.float32, copy=False),
        "weights": signed.at(inputs)[order],  # in the file's order, which is faster to read
    }


_Index = slice | torch.Tensor


@dataclass(frozen=True)
class _SignedValues:
    """The signed values behind a part's importance: `take(index)` gives those of some inputs, shape (n, width)."""

    length: int
    width: int
    take: Callable[[_Index], torch.Tensor]
    as_stored: bool = True  # `take` makes torch compute nothing

    @property
    def step(self) -> int:
        """How many inputs to take at a time."""
        plain = self.as_stored and self.width == 1
        return _STEP_AS_STORED if plain else max(1, _STEP_ADDED // self.width)

    def importance(self, start: int, stop: int, stride: int = 1) -> npt.NDArray[Any]:
        """The importances of inputs `start` to `stop`, or of one in every `stride` of them."""
        values = self.take(slice(start, stop, stride)).detach().cpu()
        if values.shape[1] > 1:
            return _to_numpy(values.abs().sum(dim=1))
        absolute: npt.NDArray[Any] = np.abs(_to_numpy(values[:, 0]))
        return absolute

    def at(self, inputs: IntArray) -> FloatArray:
        """The signed values of some inputs; shape (len(inputs), width)."""
        values: FloatArray = self.take(torch.from_numpy(inputs)).detach().cpu().float().numpy()
        return values


def _to_numpy(values: torch.Tensor) -> npt.NDArray[Any]:
    """The same numbers without torch's threads: float64 as it is, what is shorter as float32."""
    if values.dtype == torch.bfloat16:  # the upper half of a float32
        upper: npt.NDArray[Any] = values.view(torch.int16).numpy().astype(np.uint32) << 16
        as_float: npt.NDArray[Any] = upper.view(np.float32)
        return as_float
    array: npt.NDArray[Any] = values.numpy()
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def _signed_values(weights: GradiendWeights, part: Part) -> _SignedValues:
    if part == "encoder-weight":
        weight = weights.required(ENCODER_WEIGHT, (weights.latent_dim, weights.input_dim))
        return _SignedValues(weights.input_dim, weights.latent_dim, lambda index: weight[:, index].T)
    bias = weights.bias()
    if part == "decoder-bias":
        if bias is None:
            raise MissingPartError(f"{weights.origin}: this GRADIEND's decoder has no bias, so it has no decoder-bias")
        present = bias
        return _SignedValues(weights.input_dim, 1, lambda index: present[index, None])
    weight = weights.required(DECODER_WEIGHT, (weights.input_dim, weights.latent_dim))
    if part == "decoder-weight":
        return _SignedValues(weights.input_dim, weights.latent_dim, lambda index: weight[index])

    def summed(index: _Index) -> torch.Tensor:
        # Summing over a single neuron is a slow way to copy.
        total = weight[index][:, 0] if weights.latent_dim == 1 else weight[index].sum(dim=1)
        return (total if bias is None else _added(total, bias[index]))[:, None]

    plain = weights.latent_dim == 1 and weight.dtype != torch.bfloat16
    return _SignedValues(weights.input_dim, weights.latent_dim, summed, as_stored=plain)


def _added(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The sum in the tensors' own type; by NumPy, which starts no threads, where it has the type."""
    if left.dtype == torch.bfloat16:
        return left + right
    return torch.from_numpy(left.detach().cpu().numpy() + right.detach().cpu().numpy())


class _NotFiniteError(Exception):
    """An importance is NaN or infinite."""


def _topk(values: _SignedValues, k: int) -> tuple[IntArray, npt.NDArray[Any]]:
    """Inputs and importances of the k most important, inputs ascending; of equal ones the first."""
    inputs, importance = _topk_above(_likely_floor(values, k), values, k)
    return (inputs, importance) if len(inputs) == k else _topk_above(_NO_FLOOR, values, k)


def _likely_floor(values: _SignedValues, k: int) -> float:
    """A value that, by a sample, somewhat more than k lie above; of few weights that is not worth a look."""
    if k < values.step // 8:
        return _NO_FLOOR
    stride = values.length // _SAMPLE | 1  # odd, so that it does not go down a column of a matrix
    sample = values.importance(0, values.length, stride)
    expected = k / stride
    rank = int(expected + 5 * expected**0.5) + 1  # five standard deviations on the safe side
    return float(np.partition(sample, -rank)[-rank]) if rank <= len(sample) else _NO_FLOOR


def _topk_above(floor: float, values: _SignedValues, k: int) -> tuple[IntArray, npt.NDArray[Any]]:
    """The k most important of those above the floor, or all of these if they are fewer."""

    def of_segment(start: int, stop: int) -> tuple[IntArray, npt.NDArray[Any]]:
        best = _StreamingTopK(k, floor)
        for at in range(start, stop, values.step):
            best.push(at, values.importance(at, min(at + values.step, stop)))
        return best.result()

    segment = max(values.step, -(-values.length // _THREADS))
    starts = range(0, values.length, segment)
    if len(starts) == 1:
        return of_segment(0, values.length)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda start: of_segment(start, min(start + segment, values.length)), starts))
    return _largest(np.concatenate([inputs for inputs, _ in found]), np.concatenate([best for _, best in found]), k)


def _largest(positions: IntArray, values: npt.NDArray[Any], k: int) -> tuple[IntArray, npt.NDArray[Any]]:
    """The k largest values and their positions, in the order given; of equal values the first."""
    if len(values) <= k:
        return positions, values
    smallest = np.partition(values, len(values) - k)[len(values) - k]
    keep = values > smallest
    ties = np.flatnonzero(values == smallest)
    keep[ties[: k - int(np.count_nonzero(keep))]] = True
    return positions[keep], values[keep]


class _StreamingTopK:
    """The k largest of a stream of values above a floor, of equal ones those that came first, in O(k) memory."""

    def __init__(self, k: int, floor: float) -> None:
        self._k = k
        self._positions: list[IntArray] = []
        self._values: list[npt.NDArray[Any]] = []
        self._count = 0
        self._threshold = floor  # once k values are kept: the smallest of them

    def push(self, start: int, values: npt.NDArray[Any]) -> None:
        """Take in the values at positions `start`, `start + 1`, ...; positions must ascend over the calls.

        Raises:
            _NotFiniteError: If a value is NaN or infinite.
        """
        peak = values.max()  # NaN wherever a value is
        if not np.isfinite(peak):
            raise _NotFiniteError
        if peak <= self._threshold:
            return
        # A later value that only equals the threshold loses its tie, so strictly greater is right.
        candidates = np.flatnonzero(values > self._threshold)
        self._positions.append(candidates + start)
        self._values.append(values[candidates])
        self._count += len(candidates)
        if self._threshold < 0 <= self._count - self._k or self._count >= 2 * self._k + _STEP_AS_STORED // 8:
            self._compact()

    def _compact(self) -> None:
        positions, values = _largest(np.concatenate(self._positions), np.concatenate(self._values), self._k)
        if len(values) == self._k:
            self._threshold = float(values.min())
        self._positions, self._values, self._count = [positions], [values], len(values)

    def result(self) -> tuple[IntArray, npt.NDArray[Any]]:
        """Positions, ascending, and values of the k largest, or of all above the floor if these are fewer."""
        if self._positions:
            self._compact()
            return self._positions[0], self._values[0]
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
