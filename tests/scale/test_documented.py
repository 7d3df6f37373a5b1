"""The blocks of docs/scale.md, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

import gradiend_mlflow
from gradiend_mlflow import OverlapBlocks, compute_overlap
from tests.scale.test_compute import family, write

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, gradiend_mlflow.TopKSet]:
    """A dataset where the page has it."""
    monkeypatch.chdir(tmp_path)
    made = family(9, k=1001, size=3000)
    write(Path("sets"), made)
    return {run: one.top(1000) for run, one in made.items()}


def block(language: str, word: str) -> str:
    """The page's block that has a word."""
    (found,) = (one for one in re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL) if word in one)
    return str(found)


def test_the_question_in_sql(sets: dict[str, gradiend_mlflow.TopKSet]) -> None:
    """Ten lines, whose answer is that of `compute_overlap`."""
    question = block("sql", "JOIN top")
    assert len(question.splitlines()) <= 10
    answer = duckdb.sql(question).df()
    overlap = compute_overlap(sets)
    expected = overlap.to_frame("intersection")
    found = {(row.run, row.other): row.intersection for row in answer.itertuples()}
    assert found == {(a, b): expected.loc[a, b] for a in sets for b in sets if a < b and expected.loc[a, b] > 0}
    assert answer["intersection_frac"].max() == overlap.to_frame().where(lambda frame: frame < 1).max(axis=None)


def test_blocks_and_the_question_to_them(sets: dict[str, gradiend_mlflow.TopKSet]) -> None:
    """With threads in place of processes, which start sooner."""
    processes = "Client(n_workers=2, threads_per_worker=1)"
    code = block("python", "compute_overlap_blocks")
    assert processes in code
    known = {"gradiend_mlflow": gradiend_mlflow}
    exec(
        compile(code.replace(processes, "Client(processes=False, dashboard_address=':0')"), "docs/scale.md", "exec"),
        known,
    )
    blocks = known["blocks"]
    assert isinstance(blocks, OverlapBlocks)
    assert len(known["means"]) == 3
    closest = duckdb.sql(block("sql", "pairs/*.parquet")).fetchall()
    expected = compute_overlap(sets).to_frame("intersection")
    assert all(expected.loc[run, other] == shared for run, other, shared in closest)
    assert closest[0][2] == max(expected.loc[a, b] for a in sets for b in sets if a != b)
