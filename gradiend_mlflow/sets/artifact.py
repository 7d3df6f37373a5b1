"""The file that holds one top-k set: Parquet, self-describing, versioned. docs/artifact-format.md specifies it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gradiend_mlflow.checks import check_folder_of
from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import ArtifactError, InvalidInputError
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy, parse_anatomy
from gradiend_mlflow.sets.described import FORMAT_VERSION, PREFIX, SET_KEY, parse_description
from gradiend_mlflow.sets.parts import check_topk, resolve_topk
from gradiend_mlflow.sets.ranks import ties_after
from gradiend_mlflow.sets.reading.parquet import most_decoded, open_parquet, read_columns, read_file
from gradiend_mlflow.sets.space import IntArray, WeightSpace, parse_space
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.untrusted import quoted

SPACE_KEY = PREFIX + b"space"
ANATOMY_KEY = PREFIX + b"anatomy"
DIGEST_KEY = PREFIX + b"sha256"


def save_topk(topk_set: TopKSet, path: str | PathLike[str]) -> None:
    """Write a set to a file, completely or not at all; `load_topk_file` reads it back.

    Args:
        topk_set: The set.
        path: The file to write, by convention `<part>.parquet`; an existing one is replaced.

    Raises:
        InvalidInputError: If `topk_set` is not a TopKSet, the names of its space take more than 16 MB, or `path` lies
            in a folder that is not there.
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
    target = check_folder_of("path", path)
    # A name that nobody can have put a link in the place of; "x" refuses what is there.
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            _write(file, topk_set)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def topk_bytes(topk_set: TopKSet) -> bytes:
    """What `save_topk` writes to a file.

    Raises:
        InvalidInputError: If the names of the set's space take more than 16 MB.
    """
    sink = pa.BufferOutputStream()
    _write(sink, topk_set)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def load_topk_file(path: str | PathLike[str]) -> TopKSet:
    """Read and check a file that `save_topk` wrote; loads neither torch nor a model.

    Args:
        path: The file.

    Raises:
        InvalidInputError: If `path` is no path.
        ArtifactError: If the file is missing, no regular file, beyond 1 GB or truncated, was changed since it was
            written, has an unknown format version, lacks a column or has one of another type, would take far more
            memory than its size suggests, or does not hold a ranked set (unsorted, duplicated, outside the space).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_topk(TopKSet.from_indices([3, 1], space=5), f"{folder}/set.parquet")
        ...     load_topk_file(f"{folder}/set.parquet")
        TopKSet(decoder-weight, topk=2, k=2 of input_dim=5)
    """
    return parse_topk(read_file(path), origin=str(path))


def parse_topk(data: bytes, *, origin: str, topk: float | None = None) -> TopKSet:
    """Read and check the content of a file, or only its first weights; errors call it `origin`.

    Raises:
        ArtifactError: As for `load_topk_file`.
        InvalidInputError: If `topk` is not acceptable, or the file holds fewer weights than it asks for.
    """
    wanted = None if topk is None else check_topk(topk)
    try:
        topk_set = _parse(data, wanted)
    except (ArtifactError, ValueError) as error:  # InvalidInputError is a ValueError
        raise ArtifactError(f"{origin}: {error}") from error
    return topk_set if wanted is None else topk_set.top(wanted)


def _write(file: Any, topk_set: TopKSet) -> None:
    table, width = _table(topk_set), topk_set.weights.shape[1]
    metadata = _metadata(topk_set)
    digest = _digest(metadata, topk_set.param_ids, topk_set.offsets, topk_set.importance, topk_set.weights)
    # Beyond this size, which leaves room for names and levels, only what is not compressed is sure to be accepted.
    small = 2 * _row_size(width) * len(topk_set) <= most_decoded(0)
    with pq.ParquetWriter(
        file,
        table.schema,
        compression="zstd" if small else "none",
        use_dictionary=["param"],
        column_encoding=_encodings(width),
        write_page_checksum=True,
        write_statistics=False,  # nobody searches in a set, and every reader reads the footer
    ) as writer:
        writer.write_table(table)
        # Not as metadata of the table, which pyarrow writes twice, the second time in base64.
        writer.add_key_value_metadata(metadata | {DIGEST_KEY: digest.encode()})


def _table(topk_set: TopKSet) -> pa.Table:
    flat, width = pa.array(topk_set.weights.ravel()), topk_set.weights.shape[1]
    return pa.table(
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


def _row_size(width: int) -> int:
    """Bytes that a row takes in memory."""
    return 4 + 4 + 8 + 4 + 4 * width


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
    """What the columns do not hold: an entry for the set, for its space, and for the rest of the base model."""
    described = {
        "format_version": FORMAT_VERSION,
        "part": topk_set.part,
        "topk": topk_set.topk,
        "k": len(topk_set),
        "input_dim": topk_set.input_dim,
        "latent_dim": topk_set.latent_dim,
        "ties_at_cut": topk_set.ties_at_cut,
        "weight_width": topk_set.weights.shape[1],
        "digest": "sha256",
        "gradiend_version": installed_version("gradiend"),
        "gradiend_mlflow_version": installed_version("gradiend-mlflow"),
    }
    anatomy = {} if topk_set.anatomy == Anatomy() else {ANATOMY_KEY: topk_set.anatomy.to_text().encode()}
    return {SET_KEY: json.dumps(described).encode(), SPACE_KEY: topk_set.space.to_json(), **anatomy}


def _digest(metadata: Mapping[bytes, bytes], *columns: npt.NDArray[Any]) -> str:
    """SHA-256, in hex, of our metadata and of the columns `param` (as places), `offset`, `importance` and `weight`.

    A file that a later version writes has further keys of ours, which are covered here without being known.
    """
    digest = hashlib.sha256()
    for key in sorted(key for key in metadata if key.startswith(PREFIX) and key != DIGEST_KEY):
        for text in (key, metadata[key]):
            digest.update(len(text).to_bytes(8, "little") + text)
    for column, dtype in zip(columns, ("<i4", "<i8", "<f4", "<f4"), strict=True):
        digest.update(np.ascontiguousarray(column, dtype=dtype).data)
    return digest.hexdigest()


def _parse(data: bytes, topk: float | None) -> TopKSet:
    """The set in the file, or as many of the weights that `topk` asks for as there are."""
    file = open_parquet(data)
    metadata = file.metadata.metadata or {}
    for key in (SET_KEY, SPACE_KEY):
        if key not in metadata:
            raise ArtifactError(f"not a top-k file: its metadata has no key {key.decode()!r}")
    described, space = parse_description(metadata[SET_KEY]), parse_space(metadata[SPACE_KEY])
    k, width = described.k, described.width
    if k * _row_size(width) > most_decoded(len(data)):
        raise ArtifactError(
            f"it has {len(data):,} bytes, but says that it holds {k:,} weights of {width} numbers, which would take "
            f"more than {most_decoded(len(data)):,}"
        )
    columns = read_columns(file, data, _schema(width), k, len(space.names))
    if not np.array_equal(columns["rank"], np.arange(1, k + 1)):
        raise ArtifactError(f"its ranks should be 1 to {k} in order")
    arrays = {
        "param_ids": _param_ids(columns["param"], space),
        "offsets": columns["offset"].to_numpy(),
        "importance": columns["importance"].to_numpy(),
        "weights": (columns["weight"] if width == 1 else columns["weight"].flatten()).to_numpy().reshape(k, width),
    }
    if described.version == 1:
        if any(key.startswith(PREFIX) and key not in {SET_KEY, SPACE_KEY} for key in metadata):
            raise ArtifactError("it has metadata that format version 1 does not have; was it edited?")
    elif metadata.get(DIGEST_KEY) != _digest(metadata, *arrays.values()).encode():
        raise ArtifactError("its content does not match its digest; it was damaged or edited")
    kept = k if topk is None else min(k, resolve_topk(topk, described.input_dim))
    return TopKSet(
        part=described.part,
        topk=described.topk,
        input_dim=described.input_dim,
        latent_dim=described.latent_dim,
        space=space,
        anatomy=parse_anatomy(metadata[ANATOMY_KEY]) if ANATOMY_KEY in metadata else Anatomy(),
        ties_at_cut=ties_after(arrays["importance"], kept, described.ties_at_cut),
        **{name: array[:kept] for name, array in arrays.items()},
    )


def _param_ids(param: pa.DictionaryArray, space: WeightSpace) -> IntArray:
    names = param.dictionary.to_pylist()
    unknown = [name for name in names if name not in space.places]
    if unknown:
        raise ArtifactError(f"the column 'param' names {quoted(unknown[0])}, which its space does not have")
    indices = param.indices.to_numpy()
    if indices.min() < 0 or indices.max() >= len(names):
        raise ArtifactError("the column 'param' has cells beyond its dictionary")
    param_ids: IntArray = np.array([space.places[name] for name in names], dtype=np.int64)[indices]
    return param_ids
