"""The file that holds one top-k set: Parquet, self-describing, versioned. docs/artifact-format.md specifies it."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import ArtifactError, InvalidInputError
from gradiend_mlflow.sets.parts import resolve_topk
from gradiend_mlflow.sets.space import IntArray, WeightSpace
from gradiend_mlflow.sets.topk import TopKSet

FORMAT_VERSION = 1
SET_KEY = b"gradiend_mlflow.topk"
SPACE_KEY = b"gradiend_mlflow.space"


def save_topk(topk_set: TopKSet, path: str | PathLike[str]) -> None:
    """Write a set to a file, completely or not at all. `load_topk_file` reads it back.

    Args:
        topk_set: The set.
        path: The file to write, by convention `<part>.parquet`; an existing one is replaced.

    Raises:
        InvalidInputError: If `topk_set` is not a TopKSet.
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> topk_set = TopKSet.from_indices([3, 1], space=5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_topk(topk_set, f"{folder}/set.parquet")
        ...     load_topk_file(f"{folder}/set.parquet") == topk_set
        True
    """
    if not isinstance(topk_set, TopKSet):
        raise InvalidInputError(f"save_topk needs a TopKSet; got {type(topk_set).__name__}")
    width = topk_set.weights.shape[1]
    flat = pa.array(topk_set.weights.ravel())
    table = pa.table(
        [
            pa.array(np.arange(1, len(topk_set) + 1, dtype=np.int32)),
            pa.DictionaryArray.from_arrays(
                pa.array(topk_set.param_ids.astype(np.int32)), pa.array(topk_set.space.names, type=pa.string())
            ),
            pa.array(topk_set.offsets),
            pa.array(topk_set.importance),
            flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width),
        ],
        schema=_schema(width),
    )
    target = Path(path)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        _write(partial, table, _encodings(width), _metadata(topk_set))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def load_topk_file(path: str | PathLike[str]) -> TopKSet:
    """Read and check a file that `save_topk` wrote; loads neither torch nor a model.

    Args:
        path: The file.

    Raises:
        ArtifactError: If the file is missing or truncated, has an unknown format version, lacks a column or has
            one of another type, or does not hold a ranked set (unsorted, duplicated, outside the space).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_topk(TopKSet.from_indices([3, 1], space=5), f"{folder}/set.parquet")
        ...     load_topk_file(f"{folder}/set.parquet")
        TopKSet(decoder-weight, topk=2, k=2 of input_dim=5)
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from error
    return parse_topk(data, origin=str(path))


def parse_topk(data: bytes, *, origin: str, topk: float | None = None) -> TopKSet:
    """Read and check the content of a file, or only its first weights; errors call it `origin`.

    Raises:
        ArtifactError: As for `load_topk_file`.
        InvalidInputError: If it holds fewer weights than `topk` asks for.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{origin}: not a readable Parquet file; truncated or damaged? ({error})") from error
    try:
        topk_set = _from_table(table, file.metadata.metadata or {}, topk)
    except (InvalidInputError, ArtifactError) as error:
        raise ArtifactError(f"{origin}: {error}") from error
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise ArtifactError(f"{origin}: its metadata is damaged ({type(error).__name__}: {error})") from error
    return topk_set if topk is None else topk_set.top(topk)


def _write(path: Path, table: pa.Table, encodings: dict[str, str], metadata: dict[bytes, bytes]) -> None:
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=["param"], column_encoding=encodings
    ) as writer:
        writer.write_table(table)
        # Not as metadata of the table, which pyarrow writes twice, the second time in base64.
        writer.add_key_value_metadata(metadata)


def _schema(width: int) -> pa.Schema:
    weight = pa.float32() if width == 1 else pa.list_(pa.float32(), width)
    types = {
        "rank": pa.int32(),
        "param": pa.dictionary(pa.int32(), pa.string()),
        "offset": pa.int64(),
        "importance": pa.float32(),
        "weight": weight,
    }
    return pa.schema([pa.field(name, dtype, nullable=False) for name, dtype in types.items()])


def _encodings(width: int) -> dict[str, str]:
    """The best encoding of each column: together 40 % smaller than Parquet's defaults for k = 10,000."""
    return {
        "rank": "DELTA_BINARY_PACKED",
        "offset": "DELTA_BINARY_PACKED",
        "importance": "BYTE_STREAM_SPLIT",
        "weight" if width == 1 else "weight.list.element": "BYTE_STREAM_SPLIT",
    }


def _metadata(topk_set: TopKSet) -> dict[bytes, bytes]:
    """What the columns do not hold: one entry for the set, and one for its space, which many sets share."""
    space = topk_set.space
    described = {
        "format_version": FORMAT_VERSION,
        "part": topk_set.part,
        "topk": topk_set.topk,
        "k": len(topk_set),
        "input_dim": topk_set.input_dim,
        "latent_dim": topk_set.latent_dim,
        "weight_width": topk_set.weights.shape[1],
        "gradiend_version": installed_version("gradiend"),
        "gradiend_mlflow_version": installed_version("gradiend-mlflow"),
    }
    space_described = {
        "base_model": space.base_model,
        "size": space.size,
        "fingerprint": space.fingerprint,
        "names": space.names,
        "shapes": space.shapes,
    }
    return {SET_KEY: json.dumps(described).encode(), SPACE_KEY: json.dumps(space_described).encode()}


@lru_cache(maxsize=128)
def _space(raw: bytes) -> WeightSpace:
    """The space that the metadata describes; parsed once for all the sets that lie in it."""
    described = json.loads(raw)
    space = WeightSpace(described["names"], described["shapes"], described["base_model"])
    if described["fingerprint"] != space.fingerprint:
        raise ArtifactError("its space does not match its fingerprint; was the file edited?")
    return space


def _from_table(table: pa.Table, metadata: dict[bytes, bytes], topk: float | None) -> TopKSet:
    """The set in the table, or as many of the weights that `topk` asks for as there are."""
    for key in (SET_KEY, SPACE_KEY):
        if key not in metadata:
            raise ArtifactError(f"not a top-k file: its metadata has no key {key.decode()!r}")
    described = json.loads(metadata[SET_KEY])
    found = described["format_version"]
    if found != FORMAT_VERSION:
        raise ArtifactError(
            f"it has the format version {found!r}; this package reads version {FORMAT_VERSION}. "
            "A newer gradiend-mlflow may read it: pip install -U gradiend-mlflow"
        )
    k, width = described["k"], described["weight_width"]
    scalars = {name: described[name] for name in ("part", "topk", "input_dim", "latent_dim")}
    kept = k if topk is None else min(k, resolve_topk(topk, scalars["input_dim"]))
    space = _space(metadata[SPACE_KEY])
    columns = _checked_columns(table, _schema(width))
    if table.num_rows != k or not np.array_equal(columns["rank"], np.arange(1, k + 1)):
        raise ArtifactError(f"its ranks should be 1 to {k} in order; it has {table.num_rows} rows")
    return TopKSet(
        space=space,
        param_ids=_param_ids(columns["param"], space)[:kept],
        offsets=columns["offset"][:kept],
        importance=columns["importance"][:kept],
        weights=columns["weight"].reshape(k, width)[:kept],
        **scalars,
    )


def _checked_columns(table: pa.Table, expected: pa.Schema) -> dict[str, Any]:
    """The columns as arrays: of NumPy for numbers, of Arrow for the dictionary `param`."""
    columns: dict[str, Any] = {}
    for field in expected:
        if field.name not in table.column_names:
            raise ArtifactError(f"the column {field.name!r} is missing; it has {', '.join(table.column_names)}")
        column = table.column(field.name)
        if column.type != field.type:
            raise ArtifactError(f"the column {field.name!r} should have the type {field.type}; it has {column.type}")
        if column.null_count:
            raise ArtifactError(f"the column {field.name!r} has {column.null_count} empty cells")
        array = column.combine_chunks()
        if pa.types.is_fixed_size_list(field.type):
            array = array.flatten()
        columns[field.name] = array if field.name == "param" else array.to_numpy(zero_copy_only=False)
    return columns


def _param_ids(param: Any, space: WeightSpace) -> IntArray:
    names = param.dictionary.to_pylist()
    unknown = [name for name in names if name not in space.places]
    if unknown:
        raise ArtifactError(f"the column 'param' names {unknown[0]!r}, which its space does not have")
    lookup = np.array([space.places[name] for name in names], dtype=np.int64)
    param_ids: IntArray = lookup[param.indices.to_numpy(zero_copy_only=False)]
    return param_ids
