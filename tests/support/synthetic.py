"""GRADIENDs of a BERT's size without a BERT: its parameters' names and shapes, and checkpoints of seeded noise."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

Shapes = Mapping[str, tuple[int, ...]]

_CHUNK_ELEMENTS = 1 << 22
_VOCABULARY = 30_522
_POSITIONS = 512


def bert_parameters(*, hidden: int = 768, layers: int = 12) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a BERT encoder's parameters, in its order; by default those of BERT-base."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (_VOCABULARY, hidden),
        "embeddings.position_embeddings.weight": (_POSITIONS, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        **_layer_norm("embeddings.LayerNorm", hidden),
    }
    for layer in range(layers):
        prefix = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear(f"{prefix}.attention.{name}", hidden, hidden)
        shapes |= _layer_norm(f"{prefix}.attention.output.LayerNorm", hidden)
        shapes |= _linear(f"{prefix}.intermediate.dense", 4 * hidden, hidden)
        shapes |= _linear(f"{prefix}.output.dense", hidden, 4 * hidden)
        shapes |= _layer_norm(f"{prefix}.output.LayerNorm", hidden)
    return shapes


def write_checkpoint(
    directory: Path, shapes: Shapes, *, seed: int, only: str | None = None
) -> dict[str, tuple[int, int]]:
    """Write an unpruned float32 GRADIEND with one latent neuron, as gradiend's `save_pretrained` lays it out.

    Its weights are normally distributed, with another scale in each parameter; at no time is more than a
    chunk of them in memory.

    Args:
        directory: Where to write; made if needed.
        shapes: The base model's parameters.
        seed: Of the noise.
        only: The one tensor that has values; the others are holes in the file, which take no disk and read as zeros.

    Returns:
        Where each tensor's bytes lie in model.safetensors, by name: first byte and number of bytes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    inputs = sum(math.prod(shape) for shape in shapes.values())
    (directory / "config.json").write_text(json.dumps(_config(shapes, inputs), indent=2), encoding="utf-8")
    tensors = {
        "decoder.0.linear.bias": (inputs,),
        "decoder.0.linear.weight": (inputs, 1),
        "encoder.0.linear.bias": (1,),
        "encoder.0.linear.weight": (1, inputs),
    }
    rng = np.random.default_rng(seed)
    with (directory / "model.safetensors").open("wb") as file:
        extents = _write_header(file, tensors)
        for name, shape in tensors.items():
            if only not in (None, name):
                file.seek(extents[name][1], os.SEEK_CUR)
                continue
            for values in _noise(rng, shapes if math.prod(shape) == inputs else {"bias": (1,)}):
                file.write(values.tobytes())
        file.truncate()  # where it ends in a hole
    return extents


def _linear(prefix: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (outputs, inputs), f"{prefix}.bias": (outputs,)}


def _layer_norm(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (width,), f"{prefix}.bias": (width,)}


def _config(shapes: Shapes, inputs: int) -> dict[str, object]:
    return {
        "format_version": 0,
        "architecture": {
            "input_dim": inputs,
            "latent_dim": 1,
            "activation_encoder": "tanh",
            "activation_decoder": "id",
            "bias_decoder": True,
            "torch_dtype": "float32",
        },
        "mapping": {
            "mode": "all",
            "param_map": [
                {"name": name, "shape": list(shape), "repr": "all", "num_selected": math.prod(shape)}
                for name, shape in shapes.items()
            ],
        },
        "metadata": {"base_model": "synthetic-bert"},
    }


def _write_header(file: BinaryIO, tensors: Shapes) -> dict[str, tuple[int, int]]:
    """Write the header of a safetensors file of float32 tensors; returns their extents in the file."""
    entries, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
    first = file.tell()
    return {
        name: (first + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in entries.items()
    }


def _noise(rng: np.random.Generator, shapes: Shapes) -> Iterator[npt.NDArray[np.float32]]:
    for shape in shapes.values():
        scale = np.float32(1e-3 * rng.lognormal(sigma=0.5))
        size = math.prod(shape)
        for start in range(0, size, _CHUNK_ELEMENTS):
            yield rng.standard_normal(min(_CHUNK_ELEMENTS, size - start), dtype=np.float32) * scale
