"""Tensors that others saved or hold: opened without being read, and refused where they are not what they should be."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.untrusted import quoted

_WEIGHTS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.int8, torch.int16)
_MASKS = (torch.bool, *_INTEGERS)


@dataclass(frozen=True)
class ParamSelection:
    """Which weights of one parameter a GRADIEND has as inputs, in the order of the inputs.

    `count` is their number; `offsets()` returns their flat offsets, or None if all weights are selected.
    """

    count: int
    offsets: Callable[[], torch.Tensor | None]


def open_tensors(file: Path) -> Callable[[str], Any]:
    """What a file holds by name, mapped into memory; None for a name that the file does not have.

    Raises:
        CheckpointError: If the file, or later a tensor, cannot be read.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            opened = safe_open(str(file), framework="pt")
            names = set(opened.keys())
            get: Callable[[str], Any] = lambda name: opened.get_tensor(name) if name in names else None  # noqa: E731
        else:
            _check_archive(file)
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            if not isinstance(state, Mapping):
                raise TypeError(f"it holds a {type(state).__name__}, not tensors by name")  # noqa: TRY301
            get = dict(state).get
    except Exception as error:  # each format has exceptions of its own
        raise CheckpointError(f"{file} cannot be read ({type(error).__name__}: {quoted(str(error))})") from error

    def tensor(name: str) -> Any:
        try:
            return get(name)
        except Exception as error:
            raise CheckpointError(
                f"{file}: {quoted(name)} cannot be read ({type(error).__name__}: {quoted(str(error))})"
            ) from error

    return tensor


def _check_archive(file: Path) -> None:
    """PyTorch stores its archives as they are; compressed ones could hold far more than their size."""
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
            raise ValueError("it is compressed, or its parts overlap")


def dense(value: Any, what: str) -> torch.Tensor:
    """`value`, if it is a plain tensor with all of its numbers in memory or in the file.

    Raises:
        CheckpointError: If it is none; the text calls it `what`.
    """
    if not isinstance(value, torch.Tensor):
        raise CheckpointError(f"{what} should be a tensor; got a {type(value).__name__}")
    if value.is_nested or value.is_quantized or value.layout is not torch.strided or value.is_meta:
        kind = "meta" if value.is_meta else "quantized" if value.is_quantized else "sparse or nested"
        raise CheckpointError(f"{what} is a {kind} tensor; only dense ones can be read")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        stored = value.untyped_storage().nbytes()
        raise CheckpointError(f"{what} has the shape {tuple(value.shape)}, but only {stored:,} bytes are stored")
    return value.resolve_neg()  # a file may say that its numbers have the other sign


def weight_values(value: Any, shape: tuple[int, ...], what: str) -> torch.Tensor:
    """`value`, if it is a dense tensor of weights of this shape.

    Raises:
        CheckpointError: If it is not.
    """
    tensor = dense(value, what)
    if tuple(tensor.shape) != shape:
        raise CheckpointError(f"{what} should have the shape {shape}; got {tuple(tensor.shape)}")
    if tensor.dtype not in _WEIGHTS:
        raise CheckpointError(f"{what} has the type {tensor.dtype}; floats of 16, 32 and 64 bits are read")
    return tensor


def selection(how: str, size: int, what: str, load: Callable[[], Any]) -> ParamSelection:
    """Which of a parameter's `size` weights are selected, as gradiend says it in its parameter map.

    Args:
        how: "all", "mask" or "indices".
        size: How many weights the parameter has.
        what: What errors call the selection.
        load: Returns the mask or the indices.

    Raises:
        CheckpointError: If the mask or the indices do not fit the parameter; the values of indices are looked at
            when they are needed.
        ValueError: If `how` is none of the three.
    """
    if how == "all":
        return ParamSelection(size, lambda: None)
    if how not in {"mask", "indices"}:
        raise ValueError(f"{what} is {quoted(how)}; gradiend knows all, mask and indices")
    chosen = dense(load(), what)
    if chosen.dtype not in (_MASKS if how == "mask" else _INTEGERS):
        raise CheckpointError(
            f"{what} has the type {chosen.dtype}; a mask is of bools or integers, indices are integers"
        )
    if chosen.numel() > size or (how == "mask" and chosen.numel() < size):
        raise CheckpointError(f"{what} has {chosen.numel()} entries; the parameter has {size} weights")
    flat = chosen.flatten()
    if how == "mask":
        return ParamSelection(int(flat.count_nonzero()), lambda: flat.cpu().nonzero().squeeze(1))

    @cache
    def indices() -> torch.Tensor:
        _check_indices(flat, size, what)
        return flat.cpu()

    return ParamSelection(flat.numel(), indices)


def _check_indices(indices: torch.Tensor, size: int, what: str) -> None:
    if not indices.numel():
        return
    least, most = (int(edge) for edge in torch.aminmax(indices))
    if least < 0 or most >= size:
        raise CheckpointError(f"{what} has the index {least if least < 0 else most}; the parameter has {size} weights")
    ascending = bool((indices[1:] > indices[:-1]).all())  # as gradiend writes them
    if not ascending and len(np.unique(indices.cpu().numpy())) < indices.numel():
        raise CheckpointError(f"{what} has an index twice")
