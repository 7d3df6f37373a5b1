"""A GRADIEND checkpoint's config.json: its sizes, its map to the base model's weights, and what it measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.sets.reading.signals import counts_of, signal_of
from gradiend_mlflow.sets.space import WeightSpace, uncompiled
from gradiend_mlflow.untrusted import as_dict, as_int, as_list, as_str, optional, parse_json

MAPPING_FILES = {
    "indices": "indices_file",
    "mask": "masks_file",
}  # what a selection is in, and which key names the file


@dataclass(frozen=True)
class Entry:
    """How a checkpoint says that weights of one parameter are selected."""

    how: str
    key: str | None
    count: int | None


@dataclass(frozen=True)
class Config:
    """What a checkpoint's config.json says, as far as it is used here; `files` by what they hold."""

    input_dim: int
    latent_dim: int
    space: WeightSpace
    entries: tuple[Entry, ...]
    files: Mapping[str, str]


def parse_config(data: bytes, origin: str) -> Config:
    """What a config.json says, checked; errors call it `origin`.

    Raises:
        CheckpointError: If it is not that of a GRADIEND checkpoint.
    """
    try:
        config = as_dict(parse_json(data, non_finite=True), "it")
    except ValueError as error:
        raise CheckpointError(f"{origin} is not readable: {error}") from error
    if not (config.get("architecture") and config.get("mapping")):
        raise CheckpointError(
            f"{origin} lacks the 'architecture' and 'mapping' of a GRADIEND checkpoint; is it the base model's?"
        )
    try:
        return _parsed_config(config)
    except ValueError as error:
        raise CheckpointError(f"{origin} is not that of a GRADIEND checkpoint: {error}") from error


def _parsed_config(config: Mapping[str, Any]) -> Config:
    architecture, mapping = as_dict(config["architecture"], "architecture"), as_dict(config["mapping"], "mapping")
    metadata = as_dict(config.get("metadata") or {}, "metadata")
    entries = as_list(mapping.get("param_map"), "param_map", as_dict)
    base_model = metadata.get("base_model")  # gradiend describes in a dict what has neither a name nor an id
    space = WeightSpace(
        names=tuple(uncompiled(as_str(entry.get("name"), "a parameter's name")) for entry in entries),
        shapes=tuple(tuple(as_list(entry.get("shape"), "a shape", as_int)) for entry in entries),
        base_model=None if isinstance(base_model, dict) else optional(base_model, "base_model", as_str),
    )
    chosen = tuple(
        Entry(
            how=as_str(entry.get("repr"), "repr"),
            key=optional(entry.get("key"), "key", as_str),
            count=optional(entry.get("num_selected"), "num_selected", as_int),
        )
        for entry in entries
    )
    return Config(
        input_dim=as_int(architecture.get("input_dim"), "input_dim", least=1),
        latent_dim=as_int(architecture.get("latent_dim"), "latent_dim", least=1),
        space=replace(space, signal=signal_of(config, counts_of(config))),
        entries=chosen,
        files={how: as_str(mapping[key], key) for how, key in MAPPING_FILES.items() if mapping.get(key) is not None},
    )
