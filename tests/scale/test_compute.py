"""Overlaps in blocks: equal to those of `compute_overlap`, complete after a kill, and what is said of bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.distributed
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradiend_mlflow import (
    ArtifactError,
    InvalidInputError,
    SkippedRunsError,
    SpaceConflictError,
    TopKSet,
    WeightSpace,
    compute_overlap,
    compute_overlap_blocks,
)
from gradiend_mlflow.comparison.tables import block_means
from gradiend_mlflow.scale.dataset import Dataset
from gradiend_mlflow.scale.pieces import Piece
from gradiend_mlflow.scale.places import Place

VALUES = ("intersection", "intersection_frac", "jaccard")


def family(n: int, k: int = 60, size: int = 200) -> dict[str, TopKSet]:
    """Sets of up to k of `size` weights by run id; every third selects from parameters of which it shares one."""
    spaces = (
        WeightSpace(("query", "bias"), ((size - 20,), (20,)), "a-model"),
        WeightSpace(("bias", "key"), ((20,), (size + 100,)), "a-model"),
    )
    rng = np.random.default_rng(0)
    found = {}
    for number in range(n):
        space = spaces[number % 3 == 2]
        found[f"run{number}"] = TopKSet.from_indices(rng.permutation(space.size)[: k - number % 2], space=space)
    return found


def write(folder: Path, sets: dict[str, TopKSet], *, batch: int = 5) -> Path:
    """A dataset of the sets, some to a file, in two experiments."""
    dataset, runs = Dataset(Place(str(folder))), list(sets)
    for first in range(0, len(runs), batch):
        some = runs[first : first + batch]
        rows = [{"run": run, "sha256": run.ljust(64, "0"), "experiment": f"e{sum(run.encode()) % 2}"} for run in some]
        dataset.add("decoder-weight", rows, [sets[run] for run in some])
    return folder


@pytest.fixture(autouse=True, scope="module")
def _client() -> Iterator[dask.distributed.Client]:
    """Dask's current client, of threads in this process."""
    with dask.distributed.Client(processes=False, dashboard_address=None) as client:
        yield client


@pytest.mark.parametrize(("n", "block_size", "topk"), [(13, 4, 20), (13, 13, 0.1), (4, 1, 59), (12, 4, 1)])
def test_blocks_are_compute_overlap(tmp_path: Path, n: int, block_size: int, topk: float) -> None:
    """To the last bit, whatever lies in how many files, blocks and spaces."""
    sets = family(n)
    blocks = compute_overlap_blocks(
        write(tmp_path / "sets", sets), tmp_path / "overlap", topk=topk, block_size=block_size
    )
    whole = compute_overlap({run: sets[run].top(topk) for run in blocks.run_ids})
    assert sorted(blocks.run_ids) == sorted(sets)
    assert blocks.sizes.tolist() == whole.sizes.tolist()
    for value in VALUES:
        found = blocks.values(value).compute()
        np.testing.assert_array_equal(found, whole.values(value))
        assert found.dtype == whole.values(value).dtype
    pairs = pq.read_table(tmp_path / "overlap" / "pairs").to_pandas()
    assert len(pairs) == n * (n - 1) // 2
    frame = whole.to_frame("intersection")
    assert all(frame.loc[row.run, row.other] == row.intersection for row in pairs.itertuples())


def test_means_of_groups_are_those_of_the_whole_matrix(tmp_path: Path) -> None:
    """By a column, by a mapping that leaves runs out, of each measure; no matrix is there."""
    sets = family(13)
    blocks = compute_overlap_blocks(write(tmp_path / "sets", sets), tmp_path / "overlap", topk=40, block_size=4)
    whole = compute_overlap({run: sets[run].top(40) for run in blocks.run_ids})
    named = {"few": ["run1", "run2"], "one": ["run5"]}
    of_run = {run: next((group for group, runs in named.items() if run in runs), "Other") for run in blocks.run_ids}
    of_column = dict(zip(blocks.runs["run"], blocks.runs["experiment"], strict=True))
    for value in VALUES:
        for groups, labels in ((named, of_run), ("experiment", of_column)):
            found = blocks.group_means(groups, value=value)
            pd.testing.assert_frame_equal(found, block_means(blocks.run_ids, whole.values(value), labels))


KILLED = """
import os, signal, sys
import dask.distributed
from gradiend_mlflow import compute_overlap_blocks
from gradiend_mlflow.scale.pieces import Piece

write = Piece.write
def killing(piece, *given):
    write(piece, *given)
    if piece.column == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Piece.write = killing
with dask.distributed.Client(processes=False, threads_per_worker=1, dashboard_address=None) as client:
    compute_overlap_blocks(sys.argv[1], sys.argv[2], topk=40, block_size=4, client=client)
"""


def test_it_goes_on_where_it_was_killed(
    tmp_path: Path, killed_python: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is not done again, and what a further call finds complete is not touched."""
    sets = family(17)
    source, kept = write(tmp_path / "sets", sets), tmp_path / "overlap"
    killed_python(KILLED, source, kept)
    done = {file.name: file.stat().st_mtime_ns for file in (kept / "pairs").glob("*.parquet")}
    assert 0 < len(done) < 15
    (kept / "pairs" / ".0123.partial").write_bytes(b"PAR1")
    blocks = compute_overlap_blocks(source, kept, topk=40, block_size=4)
    after = {file.name: file.stat().st_mtime_ns for file in (kept / "pairs").glob("*.parquet")}
    assert len(after) == 15
    assert done.items() <= after.items()
    whole = compute_overlap({run: sets[run].top(40) for run in blocks.run_ids})
    np.testing.assert_array_equal(blocks.values("intersection").compute(), whole.intersection)
    monkeypatch.setattr(Piece, "write", None)
    compute_overlap_blocks(source, kept, topk=40, block_size=4)


@pytest.fixture
def killed_python() -> Callable[..., None]:
    """Run a script that is killed."""
    import signal
    import subprocess

    def run(script: str, *arguments: Any) -> None:
        done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()

    return run


@pytest.mark.long
def test_processes_of_a_cluster(tmp_path: Path) -> None:
    """Two, which load and write for themselves."""
    sets = family(13)
    source = write(tmp_path / "sets", sets)
    with dask.distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=":0", set_as_default=False) as c:
        blocks = compute_overlap_blocks(source, tmp_path / "overlap", topk=40, block_size=4, client=c)
        means = blocks.group_means("experiment", client=c)
    whole = compute_overlap({run: sets[run].top(40) for run in blocks.run_ids})
    np.testing.assert_array_equal(blocks.values("intersection").compute(), whole.intersection)
    assert means["pairs"].sum() == 13 * 12 // 2


def test_small_sets_are_left_out_and_said(tmp_path: Path) -> None:
    """Runs whose sets have fewer weights than are asked for; `strict` raises, and so does what leaves one run."""
    source = write(tmp_path / "sets", family(6))
    blocks = compute_overlap_blocks(source, tmp_path / "overlap", topk=60)
    assert [run.run_id for run in blocks.skipped] == ["run1", "run3", "run5"]
    assert blocks.skipped[0].reason == "topk=60 means more than the 59 weights of its set"
    assert blocks.run_ids == ("run0", "run2", "run4")
    with pytest.raises(SkippedRunsError, match="3 of 6 runs cannot be compared:\n  run1, run3, run5: topk=60"):
        compute_overlap_blocks(source, tmp_path / "other", topk=60, strict=True)
    with pytest.raises(InvalidInputError, match=r"at least two runs(.|\n)*Skipped:\n  run1: topk=60"):
        compute_overlap_blocks(source, tmp_path / "other", ["run0", "run1"], topk=60)
    some = compute_overlap_blocks(source, tmp_path / "some", ["run4", "run0"], topk=60)
    assert some.run_ids == ("run0", "run4")


def test_one_place_keeps_one_overlap(tmp_path: Path) -> None:
    """Another k, other runs, other sets."""
    sets = family(6)
    source, kept = write(tmp_path / "sets", sets), tmp_path / "overlap"
    compute_overlap_blocks(source, kept, topk=20)
    with pytest.raises(InvalidInputError, match=r"keeps another overlap \(topk 20, not 30, sets"):
        compute_overlap_blocks(source, kept, topk=30)
    with pytest.raises(InvalidInputError, match=r"keeps another overlap \(runs 6, not 2"):
        compute_overlap_blocks(source, kept, ["run0", "run1"], topk=20)
    (kept / "about.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"about\.json"):
        compute_overlap_blocks(source, kept, topk=20)


def test_damage_is_said(tmp_path: Path) -> None:
    """A dataset that lacks weights, has others, two sets of a run, other shapes; a block that lacks pairs."""
    sets = family(6)
    source = write(tmp_path / "sets", sets)
    file = next((source / "sets").rglob("*.parquet"))
    whole = pq.read_table(pa.BufferReader(file.read_bytes()))
    pq.write_table(whole.slice(1), file)
    with pytest.raises(ArtifactError, match=r"does not have the 20 weights of the run run\d"):
        compute_overlap_blocks(source, tmp_path / "overlap", topk=20)
    pq.write_table(whole.set_column(2, "offset", pa.array([10**6] * len(whole))), file)
    with pytest.raises(ArtifactError, match="do not lie in their runs' spaces"):
        compute_overlap_blocks(source, tmp_path / "overlap", topk=20)
    pq.write_table(whole, file)
    blocks = compute_overlap_blocks(source, tmp_path / "whole", topk=20, block_size=3)
    piece = next(blocks.pieces())
    pq.write_table(
        pq.read_table(pa.BufferReader(Path(blocks.uri, piece.name).read_bytes())).slice(1),
        f"{blocks.uri}/{piece.name}",
    )
    with pytest.raises(ArtifactError, match="has 2 pairs; it should have 3"):
        blocks.group_means("experiment")
    other = WeightSpace(("query",), ((30, 9),), "another")
    write(source, {"larger": TopKSet.from_indices(range(60), space=other)})
    with pytest.raises(SpaceConflictError, match=r"'larger'.* cannot be compared: the parameter 'query'"):
        compute_overlap_blocks(source, tmp_path / "more", topk=20)
    write(source, {"run0": replace(sets["run0"], topk=59)}, batch=1)
    with pytest.raises(ArtifactError, match="two sets of run0, because an export was killed"):
        compute_overlap_blocks(source, tmp_path / "more", topk=20)


def test_mistakes_are_said(tmp_path: Path) -> None:
    """Arguments of each kind, and a directory that is no dataset."""
    source = write(tmp_path / "sets", family(3))
    for wrong, said in (
        ({"block_size": 0}, "block_size must be"),
        ({"topk": 2.0}, "topk must be"),
        ({"part": "x"}, "part must be"),
        ({"client": "tcp://here"}, r"client must be a dask\.distributed\.Client; got str"),
        ({"runs": ["run0", "absent"]}, "has no set of decoder-weight of the runs absent"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            compute_overlap_blocks(source, tmp_path / "overlap", **{"topk": 20, **wrong})
    with pytest.raises(
        InvalidInputError, match=r"absent is no dataset with sets of decoder-weight: write one with export_dataset"
    ):
        compute_overlap_blocks(tmp_path / "absent", tmp_path / "overlap")
    blocks = compute_overlap_blocks(source, tmp_path / "overlap", topk=20)
    for value in ("cosine", "x"):
        with pytest.raises(InvalidInputError, match="value must be one of intersection, intersection_frac, jaccard"):
            blocks.values(value)
    with pytest.raises(InvalidInputError, match="groups names the column 'x'; there are: run, run_name"):
        blocks.group_means("x")
    with pytest.raises(InvalidInputError, match="groups names runs that are not there: absent"):
        blocks.group_means({"absent": "a"})


def test_without_dask(tmp_path: Path, run_python: Callable[[str], str]) -> None:
    """What to install is said. What Dask's processes load is quick to load: no MLflow."""
    source = write(tmp_path / "sets", family(3))
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['dask', 'distributed']))\n"
        "import gradiend_mlflow.scale.loading; print('mlflow' in sys.modules)\n"
        f"try: gradiend_mlflow.compute_overlap_blocks({str(source)!r}, {str(tmp_path / 'overlap')!r}, topk=20)\n"
        "except gradiend_mlflow.GradiendMLflowError as error: print(error)"
    )
    loaded, said = run_python(script).splitlines()
    assert loaded == "False"
    assert 'pip install "gradiend-mlflow[scale]"' in said


def test_results_show_themselves(tmp_path: Path) -> None:
    """In a line, and in a notebook."""
    blocks = compute_overlap_blocks(write(tmp_path / "sets", family(3)), tmp_path / "overlap", topk=20)
    assert repr(blocks) == f"OverlapBlocks(3 runs, decoder-weight, topk=20: {tmp_path}/overlap)"
    assert "<td>run1</td>" in blocks._repr_html_()
