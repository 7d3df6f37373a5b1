"""The importances of a GRADIEND's parts, a block of inputs at a time.

They are those of `gradiend.GradiendModel.get_weight_importance`, computed in the weights' own type:

- encoder-weight: the L1 norm over the latent axis of `encoder[0].linear.weight`, shape (latent_dim, input_dim);
- decoder-weight: the L1 norm over the latent axis of `decoder[0].linear.weight`, shape (input_dim, latent_dim);
- decoder-bias: the absolute value of `decoder[0].linear.bias`, shape (input_dim,);
- decoder-sum: the absolute value of the decoder weight's sum over the latent axis plus the bias, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from gradiend_mlflow.errors import MissingPartError
from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.space import FloatArray, IntArray
from gradiend_mlflow.sets.weights import DECODER_WEIGHT, ENCODER_WEIGHT, GradiendWeights

# Inputs per block. Most parts need NumPy alone, in blocks so large that threads seldom wait for each other. Where
# torch has to add first, a block stays below the size from which torch spreads an operation over threads of its own:
# waiting for those costs far more than they gain when the machine is busy.
BLOCK_AS_STORED = 1 << 19
BLOCK_ADDED = (1 << 15) - 1
# torch adds this many columns of an encoder side by side, and what is left of a tensor one by one, in another order:
# sums are those of the whole tensor, to the last bit, if blocks begin and end where torch's own steps do.
ADDED_TOGETHER = 64

Index: TypeAlias = slice | torch.Tensor
Values: TypeAlias = npt.NDArray[Any]  # of float32 or float64


class Scratch:
    """Room for what is computed of a block, used again for the next: new memory costs more than the arithmetic."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, np.dtype[Any]], npt.NDArray[Any]] = {}

    def array(self, use: str, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of this size for this use, which the next call for it overwrites."""
        key = use, np.dtype(dtype)
        if key not in self._kept or len(self._kept[key]) < size:
            self._kept[key] = np.empty(size, dtype)
        return self._kept[key][:size]


@dataclass(frozen=True)
class SignedValues:
    """The signed values behind a part's importance: `take(index)` returns those of n inputs, shape (n, width).

    `block` inputs are looked at at a time. If there is `added`, shape (length,), it is to be added to those of `take`.
    """

    length: int
    width: int
    take: Callable[[Index], torch.Tensor]
    block: int
    added: torch.Tensor | None = None

    def importance(self, start: int, stop: int, scratch: Scratch, stride: int = 1) -> Values:
        """The importances of inputs `start` to `stop`, or of every `stride`-th, until the next are asked for."""
        index = slice(start, stop, stride)
        values = self.take(index).detach().cpu()
        if values.shape[1] > 1:
            return _as_floats(values.abs().sum(dim=1), scratch)
        signed = values[:, 0] if self.added is None else _sum(values[:, 0], self.added[index], scratch)
        floats = _as_floats(signed, scratch)
        return np.abs(floats, out=scratch.array("importance", len(floats), floats.dtype))

    def at(self, inputs: IntArray) -> FloatArray:
        """The signed values of some inputs; shape (len(inputs), width)."""
        index = torch.from_numpy(inputs)
        values = self.take(index).detach().cpu()
        if self.added is not None:
            values = _sum(values[:, 0], self.added[index], Scratch())[:, None]
        return values.float().numpy()


def _sum(left: torch.Tensor, right: torch.Tensor, scratch: Scratch) -> torch.Tensor:
    """The sum in the tensors' own type; by NumPy, which starts no threads, if NumPy has the type."""
    right = right.detach().cpu()
    if left.dtype == torch.bfloat16:
        return left + right
    ours, theirs = left.numpy(), right.numpy()
    return torch.from_numpy(np.add(ours, theirs, out=scratch.array("sum", len(ours), ours.dtype)))


def _as_floats(values: torch.Tensor, scratch: Scratch) -> Values:
    """The same numbers as NumPy's, converted without torch's threads: float64 stays, shorter types become float32."""
    if values.dtype in {torch.float32, torch.float64}:
        return values.numpy()
    floats = scratch.array("floats", len(values), np.float32)
    if values.dtype == torch.bfloat16:  # the upper half of a float32
        bits = floats.view(np.uint32)
        np.copyto(bits, values.view(torch.int16).numpy().view(np.uint16))
        np.left_shift(bits, 16, out=bits)
    else:
        np.copyto(floats, values.numpy())
    return floats


def signed_values(weights: GradiendWeights, part: Part) -> SignedValues:
    """The values behind the importance of a part.

    Raises:
        MissingPartError: If the GRADIEND does not have the part.
        CheckpointError: If a tensor is missing or has another shape.
    """
    inputs, width = weights.input_dim, weights.latent_dim
    block = BLOCK_AS_STORED if width == 1 else _in_steps(BLOCK_ADDED // width)
    if part == "encoder-weight":
        weight = weights.required(ENCODER_WEIGHT, (width, inputs))
        return SignedValues(inputs, width, lambda index: weight[:, index].T, block)
    bias = weights.bias()
    if part == "decoder-bias":
        if bias is None:
            raise MissingPartError(f"{weights.origin}: this GRADIEND's decoder has no bias, so it has no decoder-bias")
        return SignedValues(inputs, 1, bias[:, None].__getitem__, BLOCK_AS_STORED)
    weight = weights.required(DECODER_WEIGHT, (inputs, width))
    if part == "decoder-weight":
        return SignedValues(inputs, width, weight.__getitem__, block)
    if weight.dtype == torch.bfloat16:
        block = min(block, _in_steps(BLOCK_ADDED))
    # With a single neuron there is nothing to sum.
    summed = weight.__getitem__ if width == 1 else lambda index: weight[index].sum(dim=1)[:, None]
    return SignedValues(inputs, 1, summed, block, bias)


def _in_steps(block: int) -> int:
    """The size of a block in whole steps of torch's, one at least."""
    return max(block // ADDED_TOGETHER, 1) * ADDED_TOGETHER
