"""Open a GRADIEND - a checkpoint directory or a live model - without building or copying anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradiend_mlflow.errors import CheckpointError, InvalidInputError
from gradiend_mlflow.sets.space import IntArray, WeightSpace

ENCODER_WEIGHT = "encoder.0.linear.weight"
DECODER_WEIGHT = "decoder.0.linear.weight"
DECODER_BIAS = "decoder.0.linear.bias"


@dataclass(frozen=True)
class ParamSelection:
    """Which weights of one parameter a GRADIEND has as inputs, in the order of the inputs.

    `count` is their number; `offsets()` returns their flat offsets, or None if all weights are selected.
    """

    count: int
    offsets: Callable[[], torch.Tensor | None]


@dataclass(frozen=True)
class GradiendWeights:
    """An opened GRADIEND: its sizes, its map to the base model's weights, and its tensors on demand.

    `origin` names it in errors; `tensor(name)` returns None for a tensor that it does not have.
    """

    origin: str
    input_dim: int
    latent_dim: int
    space: WeightSpace
    selections: tuple[ParamSelection, ...]
    tensor: Callable[[str], torch.Tensor | None]

    def __post_init__(self) -> None:
        selected = sum(selection.count for selection in self.selections)
        if self.input_dim < 1 or selected != self.input_dim:
            raise CheckpointError(
                f"{self.origin}: the parameter map selects {selected} weights, but input_dim is {self.input_dim}; "
                "both must be equal and at least 1"
            )

    def bias(self) -> torch.Tensor | None:
        """The decoder's bias, shape (input_dim,), or None if there is none."""
        return None if self.tensor(DECODER_BIAS) is None else self.required(DECODER_BIAS, (self.input_dim,))

    def required(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """The tensor of this name.

        Raises:
            CheckpointError: If there is none, or it has another shape.
        """
        tensor = self.tensor(name)
        if tensor is None:
            raise CheckpointError(f"{self.origin}: the weights lack {name!r}; is this a GRADIEND checkpoint?")
        if tuple(tensor.shape) != shape:
            raise CheckpointError(f"{self.origin}: {name!r} should have the shape {shape}; got {tuple(tensor.shape)}")
        return tensor

    def locate(self, inputs: IntArray) -> tuple[IntArray, IntArray]:
        """Parameter ids and flat offsets of GRADIEND inputs; both have the shape of `inputs`."""
        ends = np.cumsum([selection.count for selection in self.selections])
        param_ids = np.searchsorted(ends, inputs, side="right").astype(np.int64)
        offsets = np.empty(len(inputs), dtype=np.int64)
        for param_id in np.unique(param_ids):
            selection = self.selections[param_id]
            rows = np.flatnonzero(param_ids == param_id)
            within = inputs[rows] - (ends[param_id] - selection.count)
            selected = selection.offsets()
            offsets[rows] = within if selected is None else selected[torch.from_numpy(within)].numpy()
        return param_ids, offsets


# ---------------------------------------------------------------------------------------------------- live models


def open_model(model: Any) -> GradiendWeights:
    """Open a live `ModelWithGradiend` or `ParamMappedGradiendModel` without copying its weights.

    Raises:
        InvalidInputError: If it is neither.
        CheckpointError: If its weights are not built yet, or do not fit its parameter map.
    """
    gradiend = getattr(model, "gradiend", model)
    if not (hasattr(gradiend, "param_map") and hasattr(gradiend, "encoder")):
        raise InvalidInputError(
            f"expected a ModelWithGradiend or a ParamMappedGradiendModel; got {type(model).__module__}."
            f"{type(model).__qualname__}. For a checkpoint directory pass its path."
        )
    if gradiend.encoder is None or gradiend.decoder is None:
        raise CheckpointError("the GRADIEND's weights are not built yet: train or prune it first")
    base_model = gradiend.kwargs.get("base_model") or getattr(getattr(model, "base_model", None), "name_or_path", None)
    tensors = {
        ENCODER_WEIGHT: gradiend.encoder[0].linear.weight,
        DECODER_WEIGHT: gradiend.decoder[0].linear.weight,
        DECODER_BIAS: gradiend.decoder[0].linear.bias,
    }
    return GradiendWeights(
        origin=f"{type(model).__name__} of {base_model}",
        input_dim=int(gradiend.input_dim),
        latent_dim=int(gradiend.latent_dim),
        space=WeightSpace(
            names=tuple(gradiend.param_map),
            shapes=tuple(tuple(spec["shape"]) for spec in gradiend.param_map.values()),
            base_model=None if base_model is None else str(base_model),
        ),
        selections=tuple(_live_selection(spec) for spec in gradiend.param_map.values()),
        tensor=tensors.get,
    )


def _live_selection(spec: Mapping[str, Any]) -> ParamSelection:
    if spec["repr"] == "all":
        return _whole(spec)
    if spec["repr"] == "mask":
        mask = spec["mask"]
        return ParamSelection(int(mask.sum()), lambda: _offsets_of_mask(mask))
    indices = spec["indices"]
    return ParamSelection(int(indices.numel()), lambda: indices.cpu().flatten())


def _whole(spec: Mapping[str, Any]) -> ParamSelection:
    return ParamSelection(int(np.prod(spec["shape"], dtype=np.int64)), lambda: None)


def _offsets_of_mask(mask: torch.Tensor) -> torch.Tensor:
    return mask.cpu().flatten().nonzero().squeeze(1)


# ---------------------------------------------------------------------------------------------------- checkpoints


def open_checkpoint(path: str | PathLike[str]) -> GradiendWeights:
    """Open a GRADIEND checkpoint directory; its tensors are mapped into memory, not read.

    Raises:
        CheckpointError: If it is not a GRADIEND checkpoint, or some of it is missing or does not fit.
    """
    directory = Path(path)
    config = _read_config(directory)
    try:
        architecture = config["architecture"]
        entries = config["mapping"]["param_map"]
        base_model = (config.get("metadata") or {}).get("base_model")
        space = WeightSpace(
            names=tuple(entry["name"] for entry in entries),
            shapes=tuple(tuple(entry["shape"]) for entry in entries),
            base_model=None if base_model is None else str(base_model),
        )
        return GradiendWeights(
            origin=str(directory),
            input_dim=int(architecture["input_dim"]),
            latent_dim=int(architecture["latent_dim"]),
            space=space,
            selections=tuple(_stored_selection(directory, config["mapping"], entry) for entry in entries),
            tensor=_weights_file(directory),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{directory}: config.json is not that of a GRADIEND checkpoint ({type(error).__name__}: {error})"
        ) from error


def _read_config(directory: Path) -> dict[str, Any]:
    file = directory / "config.json"
    if not file.is_file():
        inner = directory / "model"
        hint = f" Did you mean {inner}?" if (inner / "config.json").is_file() else ""
        raise CheckpointError(f"{directory} is not a GRADIEND checkpoint: it has no config.json.{hint}")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not (isinstance(config, dict) and config.get("architecture") and config.get("mapping")):
        raise CheckpointError(
            f"{file} lacks the 'architecture' and 'mapping' of a GRADIEND checkpoint; is it the base model's?"
        )
    return config


def _stored_selection(directory: Path, mapping: Mapping[str, Any], entry: Mapping[str, Any]) -> ParamSelection:
    if entry["repr"] == "all":
        return _whole(entry)
    if entry["repr"] not in ("indices", "mask"):
        raise ValueError(f"parameter {entry['name']!r} has the unknown repr {entry['repr']!r}")
    is_mask = entry["repr"] == "mask"
    file = directory / mapping["masks_file" if is_mask else "indices_file"]
    key = entry["key"]

    def load() -> torch.Tensor:
        tensor = _tensors(file)(key)
        if tensor is None:
            raise CheckpointError(f"{file} lacks {key!r}, the selection of {entry['name']!r}")
        return _offsets_of_mask(tensor) if is_mask else tensor.flatten()

    count = entry.get("num_selected")
    return ParamSelection(len(load()) if count is None else int(count), load)


def _weights_file(directory: Path) -> Callable[[str], torch.Tensor | None]:
    """Tensors by name from the file that gradiend loads: the directory before model/, safetensors before .bin."""
    for folder in (directory, directory / "model"):
        for name in ("model.safetensors", "pytorch_model.bin"):
            if (folder / name).is_file():
                return _tensors(folder / name)
    raise CheckpointError(
        f"{directory} holds no weights: neither model.safetensors nor pytorch_model.bin. "
        "Were they deleted (delete_models=True, saved_seed_runs)?"
    )


def _tensors(file: Path) -> Callable[[str], torch.Tensor | None]:
    """Tensors by name from one file, mapped into memory; None for a name that the file does not have."""
    try:
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            opened = safe_open(str(file), framework="pt")
            names = set(opened.keys())
            return lambda name: opened.get_tensor(name) if name in names else None
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # each format has exceptions of its own
        raise CheckpointError(f"{file} cannot be read ({type(error).__name__}: {error})") from error
    return dict(state).get
