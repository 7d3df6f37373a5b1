"""Files of sets as somebody else writes them, who has only docs/artifact-format.md: right ones, and absurd ones."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SET_KEY, SPACE_KEY, DIGEST_KEY = b"gradiend_mlflow.topk", b"gradiend_mlflow.space", b"gradiend_mlflow.sha256"


def names(*values: str) -> pa.Array:
    """A column of parameters."""
    return pa.array(values, pa.string()).dictionary_encode()


def _columns() -> dict[str, pa.Array]:
    return {
        "rank": pa.array([1, 2, 3], pa.int32()),
        "param": names("bias", "query", "query"),
        "offset": pa.array([1, 0, 3], pa.int64()),
        "importance": pa.array([0.5, 0.25, 0.125], pa.float32()),
        "weight": pa.array([-0.5, 0.25, 0.125], pa.float32()),
    }


def _described() -> dict[str, Any]:
    return {
        "format_version": 2,
        "part": "decoder-weight",
        "topk": 3,
        "k": 3,
        "input_dim": 10,
        "latent_dim": 1,
        "weight_width": 1,
        "digest": "sha256",
        "gradiend_version": "0.2.3",
        "gradiend_mlflow_version": "0.1.0",
    }


def _space() -> dict[str, Any]:
    return {"base_model": "tiny", "size": 10, "names": ["query", "bias"], "shapes": [[2, 3], [4]]}


@dataclass
class SetFile:
    """A set of three weights; change what should be otherwise, then `write` it.

    Attributes:
        columns: By name; a value that is no array takes the column's type.
        described: What the metadata says of the set.
        space: What it says of the space; the fingerprint is added.
        metadata: Further metadata, or other bytes in place of what the two would give.
        order: The columns in the file; more or fewer than `columns` on purpose.
        digest: In place of the right one.
    """

    columns: dict[str, Any] = field(default_factory=_columns)
    described: dict[str, Any] = field(default_factory=_described)
    space: dict[str, Any] = field(default_factory=_space)
    metadata: dict[bytes, bytes] = field(default_factory=dict)
    order: list[str] | None = None
    digest: str | None = None

    def write(self, path: Path, **options: Any) -> Path:
        """Write it; `options` are those of pyarrow's writer."""
        types = {name: column.type for name, column in _columns().items()}
        columns = {
            name: column if isinstance(column, pa.Array) else pa.array(column, types[name])
            for name, column in self.columns.items()
        }
        order = list(columns) if self.order is None else self.order
        table = pa.table([columns[name] for name in order], names=order)
        fingerprint = [self.space.get("names"), self.space.get("shapes")]
        space = {"fingerprint": hashlib.sha256(_compact(fingerprint)).hexdigest()} | self.space
        metadata = {
            SET_KEY: json.dumps(self.described).encode(),
            SPACE_KEY: json.dumps(space).encode(),
        } | self.metadata
        if self.described.get("format_version") != 1:
            digest = self.right_digest(metadata, columns) if self.digest is None else self.digest
            metadata = {DIGEST_KEY: digest.encode()} | metadata
        options = {"use_dictionary": ["param"], "write_page_checksum": True} | options
        with pq.ParquetWriter(path, table.schema, **options) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(metadata)
        return path

    def right_digest(self, metadata: dict[bytes, bytes], columns: dict[str, pa.Array]) -> str:
        """As the format's page says, by the letter."""
        digest = hashlib.sha256()
        for key, value in sorted(metadata.items()):
            if key.startswith(b"gradiend_mlflow."):
                digest.update(struct.pack("<Q", len(key)) + key + struct.pack("<Q", len(value)) + value)
        known = self.space.get("names") or []
        for name in columns["param"].to_pylist() if "param" in columns else []:
            digest.update(struct.pack("<i", known.index(name) if name in known else -1))
        for name, code in (("offset", "<q"), ("importance", "<f"), ("weight", "<f")):
            for value in columns[name].to_pylist() if name in columns else []:
                for number in value if isinstance(value, list) else [value]:
                    digest.update(b"" if number is None else struct.pack(code, number))
        return digest.hexdigest()


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
