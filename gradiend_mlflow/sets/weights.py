"""Open a GRADIEND - a checkpoint directory or a live model - without building or copying anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradiend_mlflow.errors import CheckpointError, InvalidInputError
from gradiend_mlflow.sets.anatomy.sources import BaseModel, model_in_memory, model_on_disk
from gradiend_mlflow.sets.config import MAPPING_FILES, Config, Entry, parse_config
from gradiend_mlflow.sets.reading.signals import GRADIENT, signal_of, with_arguments
from gradiend_mlflow.sets.reading.tensors import ParamSelection, open_tensors, selection, weight_values
from gradiend_mlflow.sets.space import IntArray, WeightSpace, uncompiled
from gradiend_mlflow.untrusted import MOST_JSON, as_dict, optional, parse_json, quoted

CONFIG = "config.json"
TRAINING_FILE = "training.json"
ENCODER_WEIGHT = "encoder.0.linear.weight"
DECODER_WEIGHT = "decoder.0.linear.weight"
DECODER_BIAS = "decoder.0.linear.bias"


@dataclass(frozen=True)
class GradiendWeights:
    """An opened GRADIEND: its sizes, its map to the base model's weights, and its tensors on demand.

    `origin` names it in errors; `tensor(name)` returns None for a tensor that it does not have; `base_model()` is what
    is known of the base model.
    """

    origin: str
    input_dim: int
    latent_dim: int
    space: WeightSpace
    selections: tuple[ParamSelection, ...]
    tensor: Callable[[str], Any]
    base_model: Callable[[], BaseModel]

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
            CheckpointError: If there is none, or it has another shape, or is not a dense tensor of floats.
        """
        tensor = self.tensor(name)
        if tensor is None:
            raise CheckpointError(f"{self.origin}: the weights lack {name!r}; is this a GRADIEND checkpoint?")
        return weight_values(tensor, shape, f"{self.origin}: {name!r}")

    def positions(self, pieces: Sequence[IntArray], out: Sequence[IntArray]) -> None:
        """Write the base-global indices of GRADIEND inputs to `out`, piece by piece; each may replace its piece.

        The inputs of a piece ascend. Which weights of a parameter are selected is asked only once, and only if there
        is one: from a mask that takes long, and for each of them 8 bytes.
        """
        counts = np.array([selection.count for selection in self.selections], dtype=np.int64)
        ends = counts.cumsum()
        bounds = [[0, *np.searchsorted(piece, ends).tolist()] for piece in pieces]
        for place, (own, begin, first) in enumerate(
            zip(self.selections, ends - counts, self.space.starts, strict=True)
        ):
            held = [(each, slice(*bound[place : place + 2])) for each, bound in enumerate(bounds)]
            held = [(each, within) for each, within in held if within.start < within.stop]
            selected = own.offsets() if held else None
            for each, within in held:
                positions = np.subtract(pieces[each][within], begin, out=out[each][within])
                if selected is not None:
                    positions[:] = selected[torch.from_numpy(positions)].numpy()
                positions += first


# ---------------------------------------------------------------------------------------------------- live models


def open_model(model: Any) -> GradiendWeights:
    """Open a live `ModelWithGradiend` or `ParamMappedGradiendModel` without copying its weights.

    Raises:
        InvalidInputError: If it is neither, or its parameter map is not one.
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
    try:
        return _opened(model, gradiend)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            f"this {type(model).__name__} is not what gradiend builds ({type(error).__name__}: {quoted(str(error))})"
        ) from error


def _opened(model: Any, gradiend: Any) -> GradiendWeights:
    base_model = gradiend.kwargs.get("base_model") or getattr(getattr(model, "base_model", None), "name_or_path", None)
    origin = f"{type(model).__name__} of {base_model}"
    space = WeightSpace(
        names=tuple(map(uncompiled, gradiend.param_map)),
        shapes=tuple(tuple(spec["shape"]) for spec in gradiend.param_map.values()),
        base_model=None if base_model is None else str(base_model),
    )
    selections = tuple(
        selection(spec["repr"], int(size), f"{origin}: selection of {name!r}", partial(spec.get, spec["repr"]))
        for (name, spec), size in zip(gradiend.param_map.items(), space.sizes, strict=True)
    )
    components = [{"id": item.id, "start": item.start, "end": item.end} for item in _components(gradiend)]
    described = {"metadata": gradiend.kwargs, "components": components}
    signal = signal_of(described, [selected.count for selected in selections])
    tensors = {
        ENCODER_WEIGHT: gradiend.encoder[0].linear.weight,
        DECODER_WEIGHT: gradiend.decoder[0].linear.weight,
        DECODER_BIAS: gradiend.decoder[0].linear.bias,
    }
    return GradiendWeights(
        origin=origin,
        input_dim=int(gradiend.input_dim),
        latent_dim=int(gradiend.latent_dim),
        space=replace(space, signal=signal),
        selections=selections,
        tensor=tensors.get,
        base_model=lambda: model_in_memory(model) or model_on_disk(space.base_model),
    )


def _components(gradiend: Any) -> tuple[Any, ...]:
    """The components that a live GRADIEND is trained in; released versions of gradiend have none."""
    return tuple(gradiend.component_slices) if getattr(gradiend, "has_component_split", False) else ()


# ---------------------------------------------------------------------------------------------------- checkpoints


def open_checkpoint(path: str | PathLike[str]) -> GradiendWeights:
    """Open a GRADIEND checkpoint directory; its tensors are mapped into memory, and only masks are read.

    Raises:
        InvalidInputError: If `path` is no path.
        CheckpointError: If it is not a GRADIEND checkpoint, or some of it is missing or does not fit.
    """
    if not isinstance(path, (str, PathLike)):
        raise InvalidInputError(f"expected the path of a GRADIEND checkpoint; got {quoted(path)}")
    directory = Path(path)
    try:
        with _config_file(directory).open("rb") as file:
            config = parse_config(file.read(MOST_JSON + 1), f"{directory / CONFIG}")
        if config.space.signal.kind != GRADIENT:
            config = replace(config, space=_with_arguments(config.space, directory / TRAINING_FILE))
        return GradiendWeights(
            origin=str(directory),
            input_dim=config.input_dim,
            latent_dim=config.latent_dim,
            space=config.space,
            selections=_stored_selections(directory, config),
            tensor=_weights_file(directory),
            base_model=lambda: model_on_disk(config.space.base_model),
        )
    except OSError as error:
        raise CheckpointError(f"{directory} cannot be read ({error.strerror or error})") from error


def _with_arguments(space: WeightSpace, file: Path) -> WeightSpace:
    """The space with what only the arguments of the training say of its signal."""
    if not file.is_file():
        return space
    try:
        with file.open("rb") as opened:
            content = as_dict(parse_json(opened.read(MOST_JSON + 1), non_finite=True), "it")
        arguments = optional(content.get("training_args"), "training_args", as_dict) or {}
        return replace(space, signal=with_arguments(space.signal, arguments))
    except ValueError as error:
        raise CheckpointError(f"{file} is not what gradiend writes: {error}") from error


def _config_file(directory: Path) -> Path:
    file = directory / CONFIG
    if not file.is_file():
        inner = directory / "model"
        hint = f" Did you mean {inner}?" if (inner / CONFIG).is_file() else ""
        raise CheckpointError(f"{directory} is not a GRADIEND checkpoint: it has no config.json.{hint}")
    return file


def _stored_selections(directory: Path, config: Config) -> tuple[ParamSelection, ...]:
    opened = cache(lambda how: open_tensors(_neighbour(directory, config.files.get(how), how)))

    def stored(entry: Entry, name: str, size: int) -> ParamSelection:
        what = f"{directory}: selection of {name!r}"

        def load() -> Any:
            tensor = opened(entry.how)(entry.key or "")
            if tensor is None:
                raise CheckpointError(f"{directory / config.files[entry.how]} lacks {entry.key!r}, {what}")
            return tensor

        try:
            found = selection(entry.how, size, what, load)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        if entry.count is not None and entry.count != found.count:
            raise CheckpointError(f"{what} has {found.count} weights; config.json says {entry.count}")
        return found

    return tuple(map(stored, config.entries, config.space.names, map(int, config.space.sizes)))


def _neighbour(directory: Path, name: str | None, how: str) -> Path:
    """A file beside config.json."""
    if name is None or Path(name).name != name:
        raise CheckpointError(
            f"{directory / CONFIG} names {quoted(name)} as {MAPPING_FILES[how]}; it is a file beside it"
        )
    return directory / name


def _weights_file(directory: Path) -> Callable[[str], Any]:
    """Tensors by name from the file that gradiend loads: the directory before model/, safetensors before .bin."""
    for folder in (directory, directory / "model"):
        for name in ("model.safetensors", "pytorch_model.bin"):
            if (folder / name).is_file():
                return open_tensors(folder / name)
    raise CheckpointError(
        f"{directory} holds no weights: neither model.safetensors nor pytorch_model.bin. "
        "Were they deleted (delete_models=True, saved_seed_runs)?"
    )
