"""The file: its round trip, its bytes as others read them, and every way to spoil it."""

from __future__ import annotations

import json
from dataclasses import replace
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
from gradiend_mlflow.sets.artifact import parse_topk
from tests.support.checkpoints import Kind, kinds, make_model, model_of
from tests.support.set_files import DIGEST_KEY, SET_KEY, SPACE_KEY, SetFile, names


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
    assert described["format_version"] == 2
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


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the set is put, nor where it is written before."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "set.parquet").symlink_to(victim)
    save_topk(TopKSet.from_indices([1], space=3), tmp_path / "set.parquet")
    assert not (tmp_path / "set.parquet").is_symlink()
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".guessed.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        save_topk(TopKSet.from_indices([1], space=3), tmp_path / "set.parquet")
    assert victim.read_text() == "precious"


def test_a_file_is_as_readable_as_others(tmp_path: Path) -> None:
    """As the process's mask says, like every file that it writes."""
    save_topk(TopKSet.from_indices([1], space=3), tmp_path / "set.parquet")
    (tmp_path / "other").touch()
    assert (tmp_path / "set.parquet").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_no_partial_file_is_left(tmp_path: Path) -> None:
    """A file appears whole; a folder that is not there is an error and leaves nothing."""
    topk_set = TopKSet.from_indices([1], space=3)
    save_topk(topk_set, tmp_path / "set.parquet")
    save_topk(topk_set, tmp_path / "set.parquet")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["set.parquet"]
    with pytest.raises(InvalidInputError, match="nowhere"):
        save_topk(topk_set, tmp_path / "nowhere" / "set.parquet")


def test_what_others_write_is_read(tmp_path: Path) -> None:
    """With nothing at hand but the format's page; further columns and metadata of theirs are left alone."""
    made = SetFile()
    expected = load_topk_file(made.write(tmp_path / "plain.parquet"))
    assert expected.space.names == ("query", "bias")
    assert expected.base_global_indices().tolist() == [7, 0, 3]
    assert expected.weights.ravel().tolist() == [-0.5, 0.25, 0.125]
    made.columns["token"] = pa.array(["[MASK]", None, "the"])
    made.described["median_importance"] = 0.5
    made.space["heads"] = 12
    made.metadata = {b"gradiend_mlflow.tokens": b"{}", b"pandas": b"{}"}
    others = made.write(tmp_path / "further.parquet", data_page_version="2.0", compression="gzip", use_dictionary=True)
    assert load_topk_file(others) == expected


def test_ties_are_kept(tmp_path: Path) -> None:
    """At any cut; unknown where the file does not say so, and an error where what it says cannot be."""
    plain = TopKSet.from_indices([0, 1, 2, 3], space=9, importance=[2, 2, 1, 1])
    save_topk(replace(plain, ties_at_cut=5), tmp_path / "set.parquet")
    assert load_topk_file(tmp_path / "set.parquet").ties_at_cut == 5
    data = (tmp_path / "set.parquet").read_bytes()
    assert [parse_topk(data, origin="it", topk=k).ties_at_cut for k in (1, 2, 3, 4)] == [2, 2, 5, 5]
    made = SetFile()
    assert load_topk_file(made.write(tmp_path / "older.parquet")).ties_at_cut is None
    for wrong in (0, 100, "3", 2.5):
        made.described["ties_at_cut"] = wrong
        with pytest.raises(ArtifactError, match="ties_at_cut must be an int"):
            load_topk_file(made.write(tmp_path / "wrong.parquet"))


def test_others_read_the_digest_that_is_written(file: Path) -> None:
    """As the format's page says."""
    table, metadata = pq.read_table(file), pq.read_metadata(file).metadata
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    ours = {key: value for key, value in metadata.items() if key in {SET_KEY, SPACE_KEY}}
    made = SetFile(space=json.loads(metadata[SPACE_KEY]))
    assert metadata[DIGEST_KEY].decode() == made.right_digest(ours, columns)


def test_version_1_is_read(tmp_path: Path) -> None:
    """It has no digest; a file that says so of itself and has what only version 2 has was edited."""
    made = SetFile()
    expected = load_topk_file(made.write(tmp_path / "set.parquet"))
    made.described["format_version"] = 1
    with pytest.raises(ArtifactError, match=r"format version 1 does not have the keys.*digest"):
        load_topk_file(made.write(tmp_path / "set.parquet"))
    del made.described["digest"]
    assert load_topk_file(made.write(tmp_path / "set.parquet")) == expected
    made.metadata = {b"gradiend_mlflow.sha915": b"0" * 64}
    with pytest.raises(ArtifactError, match="metadata that format version 1 does not have"):
        load_topk_file(made.write(tmp_path / "set.parquet"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"param": None}, "the column 'param' is missing"),
        ({"importance": None}, "the column 'importance' is missing; it has 'rank, param, offset, weight'"),
        (
            {"offset": pa.array([1, 0, 3], pa.int32())},
            "'offset' should have the type int64; it has 'int32'",
        ),
        ({"importance": [0.5, 0.25, None]}, "the column 'importance' has 1 empty cells"),
        ({"importance": [0.1, 0.25, 0.125]}, "importances must descend; they rise between rank 1 and 2"),
        ({"importance": [0.5, float("nan"), 0.125]}, "importances must be finite"),
        ({"weight": [float("inf"), 0.5, 0.1]}, "weights must be finite, or NaN where they are unknown"),
        ({"offset": [1, 3, 3]}, "'query' offset 3 is duplicated"),
        ({"offset": [9, 0, 3]}, "offset 9 at rank 1 lies outside 'bias'"),
        ({"offset": [1, 0, -1]}, "offset -1 at rank 3 lies outside 'query'"),
        ({"param": names("bias", "query", "key")}, "the column 'param' names 'key', which its space does not have"),
        ({"rank": [1, 3, 2]}, "its ranks should be 1 to 3 in order"),
        ({"rank": [1, 1, 2]}, "its ranks should be 1 to 3 in order"),
    ],
)
def test_spoilt_columns_are_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    """The error names the file and the fault, also where the digest is right."""
    made = SetFile()
    made.columns = {name: column for name, column in (made.columns | columns).items() if column is not None}
    file = made.write(tmp_path / "set.parquet")
    with pytest.raises(ArtifactError, match=message) as caught:
        load_topk_file(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format_version": 3}, r"it has the format version 3; this package reads versions 1 to 2.*pip install -U"),
        ({"format_version": "1"}, "it has the format version '1'"),
        ({"format_version": True}, "it has the format version True"),
        ({"weight_width": "wide"}, "weight_width must be an integer from 1 to 2147483647; got 'wide'"),
        ({"digest": "md5"}, "its digest should be 'sha256'; it is 'md5'"),
        ({"k": 4}, "it should have 4 rows; it has 3"),
        ({"part": "encoder"}, "part must be one of"),
        ({"input_dim": 2}, "between 1 and input_dim=2"),
        ({"input_dim": 11}, "input_dim=11 is more than the 10 weights of its space"),
    ],
)
def test_spoilt_metadata_is_named(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    """Another version, missing or contradictory facts."""
    made = SetFile()
    made.described |= values
    with pytest.raises(ArtifactError, match=message):
        load_topk_file(made.write(tmp_path / "set.parquet"))


def test_edited_space_is_noticed(tmp_path: Path) -> None:
    """Renaming a parameter would silently match other weights."""
    made = SetFile()
    made.space["fingerprint"] = "0" * 64
    with pytest.raises(ArtifactError, match="does not match its fingerprint"):
        load_topk_file(made.write(tmp_path / "set.parquet"))
    made = SetFile()
    made.space["names"] = ["query"]
    with pytest.raises(ArtifactError, match=r"set\.parquet: a WeightSpace needs.*1 names, 2 shapes"):
        load_topk_file(made.write(tmp_path / "set.parquet"))


def test_edited_content_is_noticed(tmp_path: Path) -> None:
    """Whatever is changed behind the digest: a cell, the base model's name, a key that is not known."""
    made = SetFile()
    load_topk_file(made.write(tmp_path / "set.parquet"))
    made.metadata = {DIGEST_KEY: pq.read_metadata(tmp_path / "set.parquet").metadata[DIGEST_KEY]}
    for edit in (
        {"columns": made.columns | {"weight": [0.5, 0.25, 0.125]}},
        {"space": made.space | {"base_model": "other"}},
        {"described": made.described | {"topk": 0.3}},
        {"metadata": made.metadata | {b"gradiend_mlflow.tokens": b"{}"}},
    ):
        with pytest.raises(ArtifactError, match=r"set\.parquet: its content does not match its digest"):
            load_topk_file(replace(made, **edit).write(tmp_path / "set.parquet"))


def test_the_first_weights_alone(file: Path, tmp_path: Path) -> None:
    """Are those of the whole, and keep nothing of the rest in memory."""
    whole, first = load_topk_file(file), parse_topk(file.read_bytes(), origin="here", topk=0.2)
    assert first == whole.top(0.2)
    assert len(first) == len(first.offsets.base) == 2
    with pytest.raises(InvalidInputError, match="only the top 3 were kept"):
        parse_topk(file.read_bytes(), origin="here", topk=4)
    made = SetFile()
    made.described["input_dim"] = "many"
    with pytest.raises(ArtifactError, match="here: input_dim must be an integer"):
        parse_topk(made.write(tmp_path / "set.parquet").read_bytes(), origin="here", topk=2)


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
