"""From a GRADIEND's weights to its top-k sets, streaming: the one tensor that a part needs passes once.

The importances are those of `gradiend.GradiendModel.get_weight_importance`, computed in the weights' own type:

- encoder-weight: the L1 norm over the latent axis of `encoder[0].linear.weight`, shape (latent_dim, input_dim);
- decoder-weight: the L1 norm over the latent axis of `decoder[0].linear.weight`, shape (input_dim, latent_dim);
- decoder-bias: the absolute value of `decoder[0].linear.bias`, shape (input_dim,);
- decoder-sum: the absolute value of the decoder weight's sum over the latent axis plus the bias, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gradiend_mlflow.errors import CheckpointError, MissingPartError
from gradiend_mlflow.parts import DEFAULT_TOPK, Part, check_part, check_topk, resolve_topk
from gradiend_mlflow.space import IntArray
from gradiend_mlflow.topk import FloatArray, TopKSet
from gradiend_mlflow.weights import DECODER_WEIGHT, ENCODER_WEIGHT, GradiendWeights

# Elements per step: small enough that a step's temporaries stay in the processor's caches.
_CHUNK_ELEMENTS = 1 << 19


def rank(weights: GradiendWeights, part: Part, topk: float = DEFAULT_TOPK) -> TopKSet:
    """The top-k set of one part; see `TopKSet.from_checkpoint`."""
    part = check_part(part)
    topk = check_topk(topk)
    k = resolve_topk(topk, weights.input_dim)
    best = _StreamingTopK(k)
    signed = _signed_values(weights, part)
    try:
        for start, values in signed.chunks():
            best.push(start, _importance(values))
    except _NotFiniteError:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        ) from None
    inputs, importance = best.result()
    param_ids, offsets = weights.locate(inputs)
    # Inputs follow the space's order wherever gradiend wrote the map; sorting makes the ties' rule hold anyhow.
    order = np.lexsort((weights.space.starts[param_ids] + offsets, -importance))
    return TopKSet(
        part=part,
        topk=topk,
        input_dim=weights.input_dim,
        space=weights.space,
        param_ids=param_ids[order],
        offsets=offsets[order],
        importance=importance[order],
        weights=signed.at(inputs[order]),
        latent_dim=weights.latent_dim,
    )


_Index = slice | torch.Tensor


@dataclass(frozen=True)
class _SignedValues:
    """The signed values behind a part's importance: `take(index)` gives those of some inputs, shape (n, d)."""

    length: int
    width: int
    take: Callable[[_Index], torch.Tensor]

    def chunks(self) -> Iterator[tuple[int, torch.Tensor]]:
        step = max(1, _CHUNK_ELEMENTS // self.width)
        for start in range(0, self.length, step):
            yield start, self.take(slice(start, start + step)).detach().cpu()

    def at(self, inputs: IntArray) -> FloatArray:
        values: FloatArray = self.take(torch.from_numpy(inputs)).detach().cpu().float().numpy()
        return values


def _signed_values(weights: GradiendWeights, part: Part) -> _SignedValues:
    if part == "encoder-weight":
        weight = weights.required(ENCODER_WEIGHT, (weights.latent_dim, weights.input_dim))
        return _SignedValues(weights.input_dim, weights.latent_dim, lambda index: weight[:, index].T)
    if part == "decoder-bias":
        bias = weights.bias()
        if bias is None:
            raise MissingPartError(f"{weights.origin}: this GRADIEND's decoder has no bias, so it has no decoder-bias")
        present = bias
        return _SignedValues(weights.input_dim, 1, lambda index: present[index, None])
    weight = weights.required(DECODER_WEIGHT, (weights.input_dim, weights.latent_dim))
    if part == "decoder-weight":
        return _SignedValues(weights.input_dim, weights.latent_dim, lambda index: weight[index])
    bias = weights.bias()

    def summed(index: _Index) -> torch.Tensor:
        total = weight[index].sum(dim=1)
        return (total if bias is None else total + bias[index])[:, None]

    return _SignedValues(weights.input_dim, weights.latent_dim, summed)


def _importance(values: torch.Tensor) -> torch.Tensor:
    """L1 norm over the last axis, rounded as gradiend rounds it, then as float32; shape (n,)."""
    if values.shape[1] == 1:
        return values[:, 0].abs().float()
    return values.abs().sum(dim=1).float()


class _NotFiniteError(Exception):
    """An importance is NaN or infinite."""


class _StreamingTopK:
    """The k largest of a stream of values, of equal ones those that came first, in O(k) memory."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._values: list[torch.Tensor] = []
        self._positions: list[torch.Tensor] = []
        self._count = 0
        self._threshold = -1.0  # once k values are kept: the smallest of them

    def push(self, start: int, values: torch.Tensor) -> None:
        """Take in the values at positions `start`, `start + 1`, ...; positions must ascend over the calls."""
        peak = float(values.max())  # NaN wherever a value is
        if not np.isfinite(peak):
            raise _NotFiniteError
        if peak <= self._threshold:
            return
        # A later value that only equals the threshold loses its tie, so strictly greater is right.
        candidates = (values > self._threshold).nonzero().squeeze(1)
        self._values.append(values[candidates])
        self._positions.append(candidates + start)
        self._count += len(candidates)
        if self._threshold < 0 <= self._count - self._k or self._count >= 2 * self._k + _CHUNK_ELEMENTS // 8:
            self._compact()

    def _compact(self) -> None:
        values, positions = torch.cat(self._values), torch.cat(self._positions)
        if len(values) > self._k:
            smallest = torch.topk(values, self._k, sorted=True).values[-1]
            keep = values > smallest
            ties = (values == smallest).nonzero().squeeze(1)
            keep[ties[: self._k - int(keep.sum())]] = True
            values, positions = values[keep], positions[keep]
        if len(values) == self._k:
            self._threshold = float(values.min())
        self._values, self._positions, self._count = [values], [positions], len(values)

    def result(self) -> tuple[IntArray, FloatArray]:
        """Positions (int64) and values (float32) of the k largest, positions ascending; both of shape (k,)."""
        self._compact()
        return self._positions[0].numpy().astype(np.int64), self._values[0].numpy().astype(np.float32)
