"""Sets of runs as a dataset: what engines read of it, what a second export adds, what is left out and said."""

from __future__ import annotations

import json
from pathlib import Path

import dask.dataframe
import duckdb
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from gradiend_mlflow import (
    ArtifactError,
    InvalidInputError,
    SkippedRunsError,
    StoreError,
    TopKSet,
    WeightSpace,
    compute_overlap,
    compute_overlap_blocks,
    export_dataset,
    search_runs,
)
from gradiend_mlflow.scale import export
from gradiend_mlflow.scale.dataset import Dataset
from gradiend_mlflow.scale.places import Place
from tests.support.sets import log_set, log_training, tag_set

SPACE = WeightSpace(("query", "bias"), ((10, 9), (10,)), "a-model")


def made(seed: int, k: int = 20) -> TopKSet:
    """A set of k of 100 weights in two parameters, with signs."""
    rng = np.random.default_rng(seed)
    ranked = TopKSet.from_indices(rng.permutation(100)[:k], space=SPACE)
    signed = ranked.importance * rng.choice([-1, 1], k)
    return TopKSet(**{**vars(ranked), "weights": signed[:, None]})


@pytest.fixture
def runs(tracking: MlflowClient, tmp_path: Path) -> dict[str, TopKSet]:
    """Three runs with a set each."""
    return {log_training(tracking, tmp_path, made(seed)): made(seed) for seed in range(3)}


def files(folder: Path) -> dict[str, int]:
    """Every file of a dataset, but for the lock of who writes it, with the time of its last change."""
    own = (one for one in folder.rglob("*") if one.is_file() and one.name != ".lock")
    return {str(one.relative_to(folder)): one.stat().st_mtime_ns for one in own}


def rows_of(runs: dict[str, TopKSet]) -> pd.DataFrame:
    """What a dataset of these sets should hold, ordered."""
    frames = [one.to_frame().assign(run=run, sign=np.sign(one.weights[:, 0])) for run, one in runs.items()]
    whole = pd.concat(frames).sort_values(["run", "rank"])
    return whole[["run", "param", "offset", "rank", "importance", "sign"]].reset_index(drop=True)


def read(folder: Path) -> pd.DataFrame:
    """The same as DuckDB reads it."""
    query = f"SELECT * FROM read_parquet('{folder}/sets/*/*.parquet', hive_partitioning = true) ORDER BY run, rank"
    return duckdb.sql(query).df()


def test_engines_read_every_weight(runs: dict[str, TopKSet], tmp_path: Path) -> None:
    """As the sets have it, in the types of the schema, partitioned by part."""
    done = export_dataset(tmp_path / "sets", list(runs))
    assert (done.runs, done.sets, done.added, done.replaced, done.skipped) == (3, 3, 3, 0, ())
    found = read(tmp_path / "sets")
    assert found.pop("part").unique().tolist() == ["decoder-weight"]
    pd.testing.assert_frame_equal(found, rows_of(runs), check_dtype=False)
    assert found[["offset", "rank", "importance", "sign"]].dtypes.astype(str).tolist() == [
        *("int64", "int32", "float32", "int8")
    ]
    by_dask = dask.dataframe.read_parquet(tmp_path / "sets" / "sets").compute()
    assert by_dask.groupby("run", observed=True)["offset"].sum().to_dict() == {
        run: int(one.offsets.sum()) for run, one in runs.items()
    }
    told = duckdb.sql(f"FROM read_parquet('{tmp_path}/sets/runs/*/*.parquet', hive_partitioning = true)").df()
    assert set(told["run"]) == set(runs)
    assert set(told["k"]) == {20}
    assert {"experiment", "base_model", "target_classes", "sha256", "part"} <= set(told)


def test_a_second_export_adds_what_is_new(
    runs: dict[str, TopKSet], tracking: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing, a new run, and a set that was logged anew, whose older one goes; the rest is not touched."""
    folder = tmp_path / "sets"
    monkeypatch.setattr(export, "_ROWS_OF_A_FILE", 20)
    monkeypatch.setattr(export, "_SETS_AT_ONCE", 2)
    export_dataset(folder, filter_string="attributes.status = 'FINISHED'")
    before = files(folder)
    assert len([name for name in before if name.startswith("sets/")]) == 2, "a file as soon as it is full"
    again = export_dataset(folder)
    assert (again.added, again.sets, files(folder)) == (0, 3, before)

    first, second, _ = runs
    runs[log_training(tracking, tmp_path, made(7))] = made(7)
    client_folder = tmp_path / "anew"
    client_folder.mkdir()
    other = log_training(tracking, client_folder, made(8, k=30))
    entry = json.loads(tracking.get_run(other).data.tags["gradiend.topk"])["decoder-weight"]
    tracking.log_artifact(first, str(client_folder / "decoder-weight.parquet"), "gradiend/topk")
    tag_set(tracking, first, **entry)
    runs |= {first: made(8, k=30), other: made(8, k=30)}
    done = export_dataset(folder)
    assert (done.runs, done.sets, done.added, done.replaced) == (5, 5, 3, 1)
    pd.testing.assert_frame_equal(read(folder).drop(columns="part"), rows_of(runs), check_dtype=False)
    assert second in set(Dataset(Place(str(folder))).runs()["run"])
    changed = {name for name, time in files(folder).items() if before.get(name) == time}
    assert any(name.startswith("sets/") for name in changed), "what did not change was not written again"


def test_what_a_killed_export_left_is_removed(runs: dict[str, TopKSet], tmp_path: Path) -> None:
    """Sets without their table of runs, half of a file, and an older set beside the newer one."""
    folder = tmp_path / "sets"
    export_dataset(folder, list(runs)[:2])
    (table,) = (folder / "runs").rglob("*.parquet")
    table.unlink()
    (table.parent / ".0123.partial").write_bytes(b"PAR1")
    export_dataset(folder, list(runs)[1:])
    pd.testing.assert_frame_equal(
        read(folder).drop(columns="part"), rows_of({run: runs[run] for run in list(runs)[1:]}), check_dtype=False
    )
    dataset = Dataset(Place(str(folder)))
    first = list(runs)[1]
    dataset.add("decoder-weight", [{"run": first, "sha256": "0" * 64}], [made(9)])
    done = export_dataset(folder, list(runs))
    assert done.replaced == 1
    pd.testing.assert_frame_equal(read(folder).drop(columns="part"), rows_of(runs), check_dtype=False)


def test_what_is_left_out_is_said(runs: dict[str, TopKSet], tracking: MlflowClient, tmp_path: Path) -> None:
    """A run that is not finished, one without a set, one whose file is another; `strict` raises after the rest."""
    running = tracking.create_run("0", tags={"gradiend.kind": "training"}).info.run_id
    without = log_set(tracking, tmp_path)
    damaged = log_set(tracking, tmp_path)
    tag_set(tracking, damaged)
    with pytest.raises(SkippedRunsError, match=r"3 of 6 runs could not be exported:") as told:
        export_dataset(tmp_path / "sets", strict=True)
    assert all(run in str(told.value) for run in (running, without, damaged))
    done = export_dataset(tmp_path / "sets")
    assert (done.runs, done.added) == (3, 0)
    reasons = {run.run_id: run.reason for run in done.skipped}
    assert "RUNNING" in reasons[running]
    assert "no set of the part 'decoder-weight'" in reasons[without]
    assert "not the file that was logged" in reasons[damaged]
    some = export_dataset(tmp_path / "sets", list(runs), parts=["decoder-sum"])
    assert {run.run_id for run in some.skipped} == set(runs)


def test_all_tags_are_never_in_memory(
    runs: dict[str, TopKSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search is taken page by page, a frame and ids slice by slice."""
    monkeypatch.setattr("gradiend_mlflow.store.reader._RUNS_PER_PAGE", 2)
    monkeypatch.setattr(export, "_RUNS_AT_ONCE", 2)
    seen: list[int] = []
    take = export._Export.take
    monkeypatch.setattr(export._Export, "take", lambda self, some: (seen.append(len(some)), take(self, some)))
    for given in (None, list(runs), search_runs()):
        export_dataset(tmp_path / "sets", given)
    assert seen == [2, 1] * 3


def test_mistakes_are_said(runs: dict[str, TopKSet], tmp_path: Path) -> None:
    """Where it may lie, what to search for, no run at all, a file in its place, a file of somebody else's."""
    for wrong in ("", "gs://bucket/x", "s3://bucket"):
        with pytest.raises(InvalidInputError, match=r"destination must be"):
            export_dataset(wrong, list(runs))
    with pytest.raises(InvalidInputError, match="not both"):
        export_dataset(tmp_path / "sets", list(runs), filter_string="params.a = '1'")
    with pytest.raises(InvalidInputError, match=r"found no run\. Searched: 'Default'"):
        export_dataset(tmp_path / "sets", filter_string="params.a = '1'")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file cannot be written"):
        export_dataset(tmp_path / "file", list(runs))
    export_dataset(tmp_path / "sets", list(runs))
    (table,) = (tmp_path / "sets" / "runs").rglob("*.parquet")
    table.write_bytes(b"not Parquet")
    with pytest.raises(ArtifactError, match="is not what an export writes"):
        export_dataset(tmp_path / "sets", list(runs))


def test_into_s3(runs: dict[str, TopKSet], s3_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same calls, and nothing is written twice; what is compared may lie there too."""
    for name, value in s3_settings.items():
        monkeypatch.setenv(name, value)
    uri = "s3://mlflow/lab/sets"
    assert export_dataset(uri, list(runs)[:2]).added == 2
    done = export_dataset(uri, list(runs))
    assert (done.added, done.sets, done.uri) == (1, 3, uri)
    dataset = Dataset(Place(uri))
    assert set(dataset.runs()["run"]) == set(runs)
    (space,) = dataset.spaces(set(dataset.runs()["space"])).values()
    assert space.names == SPACE.names
    blocks = compute_overlap_blocks(uri, "s3://mlflow/lab/overlap", topk=10, block_size=2)
    expected = compute_overlap({run: runs[run].top(10) for run in blocks.run_ids}).intersection
    np.testing.assert_array_equal(blocks.values("intersection").compute(), expected)
