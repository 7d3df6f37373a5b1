"""The file: its round trip, its bytes as others read them, and every way to spoil it."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from gradiend_mlflow import (
    PARTS,
    ArtifactError,
    GradiendMLflowError,
    InvalidInputError,
    TopKSet,
    WeightSpace,
    load_topk_file,
    save_topk,
)
from gradiend_mlflow.sets.artifact import SET_KEY, SPACE_KEY, parse_topk
from tests.support.checkpoints import Kind, kinds, make_model, model_of


@given(kind=kinds())
@settings(max_examples=40, deadline=None)
def test_save_and_load_are_inverses(kind: Kind) -> None:
    """For every part of every GRADIEND, and for sets without known weights."""
    model = model_of(kind)
    sets = [TopKSet.from_model(model, part=part, topk=0.5) for part in PARTS if part != "decoder-bias" or kind.bias]
    sets.append(TopKSet.from_indices([1, 0], space=3))
    for topk_set in sets:
        with TemporaryDirectory() as folder:
            save_topk(topk_set, f"{folder}/set.parquet")
            assert load_topk_file(f"{folder}/set.parquet") == topk_set


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good file, to be read by others or spoilt."""
    space = WeightSpace(("query", "bias"), ((2, 3), (4,)), base_model="tiny")
    path = tmp_path / "decoder-weight.parquet"
    save_topk(TopKSet.from_indices([7, 0, 3], space=space, importance=[0.5, 0.25, 0.125]), path)
    return path


def test_any_parquet_reader_understands_it(file: Path) -> None:
    """Names in plain columns, and the rest as JSON in the file's metadata."""
    frame = pd.read_parquet(file)
    assert frame["param"].tolist() == ["bias", "query", "query"]
    assert frame["offset"].tolist() == [1, 0, 3]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert frame["importance"].tolist() == [0.5, 0.25, 0.125]
    metadata = pq.read_metadata(file).metadata
    described, space = json.loads(metadata[SET_KEY]), json.loads(metadata[SPACE_KEY])
    assert described["format_version"] == 1
    assert {"part", "topk", "k", "latent_dim", "gradiend_version", "gradiend_mlflow_version"} <= set(described)
    assert space["names"] == ["query", "bias"]
    assert space["base_model"] == "tiny"
    assert space["size"] == described["input_dim"] == 10


def test_several_latent_neurons_are_a_list_column(tmp_path: Path) -> None:
    """One number per neuron and row."""
    save_topk(TopKSet.from_model(make_model([("w", (9,), "all")], latent_dim=3), topk=4), tmp_path / "set.parquet")
    assert np.stack(pd.read_parquet(tmp_path / "set.parquet")["weight"]).shape == (4, 3)


def test_its_space_is_written_once(tmp_path: Path) -> None:
    """The names of many parameters are a tenth of a file; pyarrow would write them into its own schema as well."""
    space = WeightSpace(tuple(f"encoder.layer.{number}" for number in range(1000)), ((1,),) * 1000)
    save_topk(TopKSet.from_indices([1], space=space), tmp_path / "set.parquet")
    metadata = pq.read_metadata(tmp_path / "set.parquet").metadata
    assert len(metadata[SPACE_KEY]) > 10 * sum(len(value) for key, value in metadata.items() if key != SPACE_KEY)


def test_no_partial_file_is_left(tmp_path: Path) -> None:
    """A file appears whole; a folder that is not there is an error and leaves nothing."""
    topk_set = TopKSet.from_indices([1], space=3)
    save_topk(topk_set, tmp_path / "set.parquet")
    save_topk(topk_set, tmp_path / "set.parquet")
    assert [path.name for path in tmp_path.glob("*.parquet*")] == ["set.parquet"]
    with pytest.raises(OSError, match="nowhere"):
        save_topk(topk_set, tmp_path / "nowhere" / "set.parquet")


def _edit(file: Path, **columns: Any) -> None:
    """Replace columns (None drops one), keeping the metadata."""
    table = pq.read_table(file, read_dictionary=["param"])
    for name, values in columns.items():
        index = table.column_names.index(name)
        if values is None:
            table = table.remove_column(index)
        else:
            column = values if isinstance(values, pa.Array) else pa.array(values, table.schema.field(name).type)
            table = table.set_column(index, pa.field(name, column.type), column)
    pq.write_table(table.replace_schema_metadata(_metadata(file)), file)


def _edit_metadata(file: Path, key: bytes, **values: Any) -> None:
    table = pq.read_table(file, read_dictionary=["param"])
    metadata = _metadata(file)
    edited = json.dumps(json.loads(metadata[key]) | values).encode()
    pq.write_table(table.replace_schema_metadata(metadata | {key: edited}), file)


def _metadata(file: Path) -> dict[bytes, bytes]:
    metadata = pq.read_metadata(file).metadata
    return {key: metadata[key] for key in (SET_KEY, SPACE_KEY)}


def _names(*names: str) -> pa.Array:
    return pa.array(names).dictionary_encode()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"param": None}, "the column 'param' is missing"),
        ({"importance": None}, "the column 'importance' is missing; it has rank, param, offset, weight"),
        ({"offset": pa.array([1, 0, 3], pa.int32())}, "the column 'offset' should have the type int64; it has int32"),
        ({"importance": [0.5, 0.25, None]}, "the column 'importance' has 1 empty cells"),
        ({"importance": [0.1, 0.25, 0.125]}, "importances must descend; they rise between rank 1 and 2"),
        ({"importance": [0.5, float("nan"), 0.125]}, "importances must be finite"),
        ({"offset": [1, 3, 3]}, "'query' offset 3 is duplicated"),
        ({"offset": [9, 0, 3]}, "offset 9 at rank 1 lies outside 'bias'"),
        ({"param": _names("bias", "query", "key")}, "the column 'param' names 'key', which its space does not have"),
        ({"rank": [1, 3, 2]}, "its ranks should be 1 to 3 in order"),
    ],
)
def test_spoilt_columns_are_named(file: Path, columns: dict[str, Any], message: str) -> None:
    """The error names the file and the fault."""
    _edit(file, **columns)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_topk_file(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format_version": 2}, r"it has the format version 2; this package reads version 1.*pip install -U"),
        ({"format_version": "1"}, "it has the format version '1'"),
        ({"weight_width": "wide"}, "its metadata is damaged"),
        ({"k": 4}, "its ranks should be 1 to 4 in order; it has 3 rows"),
        ({"part": "encoder"}, "part must be one of"),
        ({"input_dim": 2}, "between 1 and input_dim=2"),
    ],
)
def test_spoilt_metadata_is_named(file: Path, values: dict[str, Any], message: str) -> None:
    """Another version, missing or contradictory facts."""
    _edit_metadata(file, SET_KEY, **values)
    with pytest.raises(ArtifactError, match=message):
        load_topk_file(file)


def test_edited_space_is_noticed(file: Path) -> None:
    """Renaming a parameter would silently match other weights."""
    _edit_metadata(file, SPACE_KEY, names=["key", "bias"])
    with pytest.raises(ArtifactError, match="does not match its fingerprint"):
        load_topk_file(file)
    _edit_metadata(file, SPACE_KEY, names=["query"])
    with pytest.raises(ArtifactError, match=r"decoder-weight\.parquet: a WeightSpace needs.*1 names, 2 shapes"):
        load_topk_file(file)


def test_the_first_weights_alone(file: Path) -> None:
    """Are those of the whole, and keep nothing of the rest in memory."""
    whole, first = load_topk_file(file), parse_topk(file.read_bytes(), origin="here", topk=0.2)
    assert first == whole.top(0.2)
    assert len(first) == len(first.offsets.base) == 2
    with pytest.raises(InvalidInputError, match="only the top 3 were kept"):
        parse_topk(file.read_bytes(), origin="here", topk=4)
    _edit_metadata(file, SET_KEY, input_dim="many")
    with pytest.raises(ArtifactError, match="here: its metadata is damaged"):
        parse_topk(file.read_bytes(), origin="here", topk=2)


@pytest.mark.parametrize("kept", [0, 4, 100, -8, -1])
def test_truncated_files_are_named(file: Path, kept: int) -> None:
    """However much is left."""
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match="not a readable Parquet file; truncated or damaged"):
        load_topk_file(file)


def test_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    """Somebody else's Parquet, and none."""
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(ArtifactError, match="not a top-k file"):
        load_topk_file(tmp_path / "foreign.parquet")
    with pytest.raises(GradiendMLflowError, match=r"missing\.parquet: cannot be read \(No such file or directory\)"):
        load_topk_file(tmp_path / "missing.parquet")
