"""The dataset: which files it has, and what is in them. docs/scale.md specifies it.

Sets come in batches, each a file of `sets/` and one of `runs/` of the same name. The second says that the first is
complete, and is written after it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.scale.places import Place
from gradiend_mlflow.sets.parts import PARTS
from gradiend_mlflow.sets.space import WeightSpace, parse_space
from gradiend_mlflow.sets.topk import TopKSet

TEXT = pa.dictionary(pa.int32(), pa.string())  # in the file a string
WEIGHTS = pa.schema(
    {
        "run": TEXT,
        "param": TEXT,
        "offset": pa.int64(),
        "rank": pa.int32(),
        "importance": pa.float32(),
        "sign": pa.int8(),
    }
)
RUNS = pa.schema(
    {
        "run": pa.string(),
        "run_name": pa.string(),
        "gradiend_run_id": pa.string(),
        "experiment": pa.string(),
        "base_model": pa.string(),
        "target_classes": pa.list_(pa.string()),
        "seed": pa.int64(),
        "converged": pa.bool_(),
        "correlation": pa.float64(),
        "start_time": pa.timestamp("ms", "UTC"),
        "sha256": pa.string(),
        "k": pa.int64(),
        "input_dim": pa.int64(),
        "space": pa.string(),
        "file": pa.string(),
    }
)
OF_A_RUN = tuple(RUNS.names[1:10])  # what `search_runs` says of it
_BATCH = re.compile(r"(?:runs|sets)/part=([a-z-]+)/[0-9a-f]{32}\.parquet")
_ROWS_AT_ONCE = 2**17  # in a row group, which engines read in parallel


@dataclass(frozen=True)
class Dataset:
    """The sets of any number of runs at a place; each method reads what is there when it is called."""

    place: Place

    def runs(self, parts: Collection[str] = PARTS, columns: Sequence[str] = RUNS.names) -> pd.DataFrame:
        """A row per set of these parts, with columns of `RUNS` and part; batch by batch in the order of their names.

        Raises:
            ArtifactError: If a file is not one of a dataset.
        """
        schema = pa.schema([RUNS.field(name) for name in dict.fromkeys([*columns, "file"])])
        tables = [schema.append(pa.field("part", pa.string())).empty_table()]
        for name, part in self._batches("runs"):
            if part in parts:
                table = read_table(self.place, name, schema)
                if set(table["file"].to_pylist()) != {_sets_file(name)}:
                    raise ArtifactError(f"{self.place.uri}/{name} says that it is of another file; was it renamed?")
                tables.append(table.append_column("part", pa.array([part] * len(table))))
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        return frame

    def add(self, part: str, rows: Sequence[Mapping[str, Any]], sets: Sequence[TopKSet]) -> None:
        """Write a batch: its rows of the table of runs, without what the sets say themselves, and the sets."""
        for space in {one.space.fingerprint: one.space for one in sets}.values():
            if not self.place.has(_space_file(space.fingerprint)):
                self.place.write(_space_file(space.fingerprint), space.to_json())
        described = [
            {**row, "k": len(one), "input_dim": one.input_dim, "space": one.space.fingerprint}
            for row, one in zip(rows, sets, strict=True)
        ]
        self._write(part, described, weights_of([row["run"] for row in rows], sets))

    def leave_out(self, name: str, runs: Collection[str]) -> None:
        """Remove the sets of some runs from the batch whose file in `sets/` has this name."""
        table = read_table(self.place, _runs_file(name), RUNS)
        kept = [row for row in table.to_pylist() if row["run"] not in runs]
        if kept:
            weights = read_table(self.place, name, WEIGHTS)
            others = ~weights["run"].to_pandas().isin(list(runs))
            self._write(_part_of(name), kept, weights.filter(pa.array(others)))
        self.place.remove(_runs_file(name))
        self.place.remove(name)

    def remove_unfinished(self) -> None:
        """Remove what an export that was killed has left: sets that no table of runs says to be complete."""
        finished = {_sets_file(name) for name, _ in self._batches("runs")}
        for name, _ in self._batches("sets"):
            if name not in finished:
                self.place.remove(name)

    def spaces(self, fingerprints: Collection[str]) -> dict[str, WeightSpace]:
        """The spaces by fingerprint.

        Raises:
            ArtifactError: If one is damaged.
        """
        found = {}
        for fingerprint in fingerprints:
            name = _space_file(fingerprint)
            try:
                found[fingerprint] = parse_space(self.place.read(name))
            except ValueError as error:
                raise ArtifactError(f"{self.place.uri}/{name}: {error}") from error
        return found

    def _batches(self, folder: str) -> Iterator[tuple[str, str]]:
        """The name and the part of each file of ours in `runs` or `sets`."""
        for name in self.place.names(folder):
            if found := _BATCH.fullmatch(name):
                yield name, found[1]

    def _write(self, part: str, rows: Sequence[Mapping[str, Any]], weights: pa.Table) -> None:
        content = "".join(f"{row['run']} {row['sha256']}\n" for row in rows)
        name = f"sets/part={part}/{hashlib.sha256(content.encode()).hexdigest()[:32]}.parquet"
        write_table(self.place, name, weights)
        described = pa.Table.from_pylist([{**row, "file": name} for row in rows], schema=RUNS)
        write_table(self.place, _runs_file(name), described)


def weights_of(runs: Sequence[str], sets: Sequence[TopKSet]) -> pa.Table:
    """A row per weight of each run's set, set by set in rank order."""
    sizes = [len(one) for one in sets]
    params = dict.fromkeys(name for space in {one.space for one in sets} for name in space.names)
    place_of = {name: place for place, name in enumerate(params)}
    places = {one.space: np.array([place_of[name] for name in one.space.names], dtype=np.int32) for one in sets}
    signs = np.concatenate([_signs(one) for one in sets])
    columns = [
        texts(np.repeat(np.arange(len(sets), dtype=np.int32), sizes), runs),
        texts(np.concatenate([places[one.space][one.param_ids] for one in sets]), list(params)),
        pa.array(np.concatenate([one.offsets for one in sets])),
        pa.array(np.concatenate([np.arange(1, size + 1, dtype=np.int32) for size in sizes])),
        pa.array(np.concatenate([one.importance for one in sets])),
        pa.array(np.nan_to_num(signs).astype(np.int8), mask=np.isnan(signs)),
    ]
    return pa.table(columns, schema=WEIGHTS)


def _signs(topk_set: TopKSet) -> Any:
    """The sign of each weight; NaN where it is not known, or each latent neuron has one of its own."""
    if topk_set.weights.shape[1] > 1:
        return np.full(len(topk_set), np.nan)
    return np.sign(topk_set.weights[:, 0])


def texts(codes: Any, named: Sequence[str]) -> pa.DictionaryArray:
    """Texts by their places among the distinct ones."""
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(named, pa.string()))


def read_table(place: Place, name: str, schema: pa.Schema) -> pa.Table:
    """The columns of a Parquet file.

    Raises:
        ArtifactError: If it is damaged, lacks one or has one of another type.
    """
    content = place.read(name)
    dictionaries = [field.name for field in schema if field.type == TEXT]
    try:
        return pq.read_table(pa.BufferReader(content), columns=schema.names, read_dictionary=dictionaries).cast(schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(f"{place.uri}/{name} is not what an export writes: {reason}") from error


def write_table(place: Place, name: str, table: pa.Table) -> None:
    """Write a Parquet file as every engine reads it: plain types, and dictionaries where values repeat."""
    stream = pa.BufferOutputStream()
    repeating = [field.name for field in table.schema if field.name not in {"offset", "importance"}]
    options = {"compression": "zstd", "row_group_size": _ROWS_AT_ONCE, "store_schema": False}
    pq.write_table(table, stream, use_dictionary=repeating, **options)
    place.write(name, stream.getvalue())


def _part_of(name: str) -> str:
    return name.partition("part=")[2].partition("/")[0]


def _runs_file(name: str) -> str:
    return "runs/" + name.partition("/")[2]


def _sets_file(name: str) -> str:
    return "sets/" + name.partition("/")[2]


def _space_file(fingerprint: str) -> str:
    return f"spaces/{fingerprint}.json"
