"""The examples run, and print what they promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from mlflow import MlflowClient
from nbclient import NotebookClient

import backfill
import paper_figures
import seeds
import suite

NOTEBOOK = Path(suite.__file__).with_name("notebook.ipynb")


def test_figures_for_a_paper(tmp_path: Path) -> None:
    """Three figures and a table for each answer, and both answers are right."""
    tests = paper_figures.main(tmp_path / "figures")
    assert tests["rule"].p_value < 0.001
    assert tests["memory"].p_value > 0.05
    for answer in tests:
        for name in ("heatmap", "venn", "curve"):
            assert (tmp_path / "figures" / f"{answer}_{name}.pdf").read_bytes().startswith(b"%PDF")
        assert r"masculine → feminine & 4 &" in (tmp_path / "figures" / f"{answer}_groups.tex").read_text()


@pytest.mark.long
def test_backfill(tracking: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was imported once is left as it is, and compared with what was tracked."""
    comparison = backfill.main(tmp_path / "made", steps=2)
    assert list(comparison.runs["run_name"]) == ["1SG_3SG", "1PL_3PL", "1SG_1PL"]
    said = capsys.readouterr().out
    assert (said.count("imported"), said.count("unchanged")) == (2, 2)
    assert [run.info.run_id for run in tracking.search_runs([_id_of(tracking, "old and new")])] == [comparison.run_id]


def _id_of(client: MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return str(experiment.experiment_id)


@pytest.mark.long
def test_seeds(tracking: MlflowClient, tmp_path: Path) -> None:
    """Every pair of seeds counts, between trainings and within them."""
    comparison = seeds.main(tmp_path / "made", steps=2, seeds=2)
    assert comparison.to_frame()["seed_pairs"].tolist() == [4]
    assert comparison.ceiling["pairs"].tolist() == [1, 1]
    (experiment,) = set(comparison.runs["experiment_id"])
    assert len(tracking.search_runs([experiment], "tags.`gradiend.kind` = 'seed'")) == 4


@pytest.mark.long
@pytest.mark.usefixtures("tracking")
def test_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All pairs of its classes are compared, and their layers printed."""
    comparison = suite.main(tmp_path / "made", steps=2)
    assert len(comparison.matrix) == 3
    assert "layer_0" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.usefixtures("tracking")
def test_the_notebook() -> None:
    """Executed anew, its cells show what they show in the file."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = _kinds_of_outputs(notebook)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert _kinds_of_outputs(notebook) == kept
    assert "image/png" in str(kept)


def _kinds_of_outputs(notebook: Any) -> list[list[list[str]]]:
    cells = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    return [[sorted(one.get("data", [])) for one in outputs if one.get("name") != "stderr"] for outputs in cells]


@pytest.mark.long
@pytest.mark.usefixtures("tracking")
def test_on_this_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One type of weights, on whatever is here."""
    import on_this_device

    monkeypatch.setattr(on_this_device, "TYPES", on_this_device.TYPES[1:2])
    assert on_this_device.main(tmp_path) == 0
    assert "torch.bfloat16: the same GRADIEND: yes; gradiend's own sets: yes" in capsys.readouterr().out
