"""Wherever a training lies, and wherever its artifacts do, its run has the same sets, and is found again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import TopKSet, compare, import_runs, load_comparison, load_topk
from tests.support.sampling import quick
from tests.support.trainings import MakeTrainer, train

EVERYTHING = "all of it: 100% #1 a%20b größe 北京"
NAMES = quick([EVERYTHING, "a space", "100% sure", "a%20b", "number #1", "what?", "größe 北京", "[1]*"], first=1)


@pytest.fixture(scope="module")
def trained(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings without the plugin."""
    folder = tmp_path_factory.mktemp("trained")
    for pair in (("3SG", "3PL"), ("1SG", "1PL")):
        train(base_model, folder, pair)
    return folder


def read_only(folder: Path) -> Path:
    """The same directory, in which nobody may write; root may, so see `state`."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def link(folder: Path) -> Path:
    """A link to the directory from elsewhere."""
    other = folder.with_name("link")
    other.symlink_to(folder, target_is_directory=True)
    return other


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with the time of its last change and its mode."""
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_mode) for path in [folder, *folder.rglob("*")]}


def imported(folder: Path, result: str) -> dict[str, str]:
    """Import what lies in a directory; the ids of the runs by the directories' names below it."""
    before = state(folder)
    frame = import_runs(folder, topk=100, experiment_name="places", progress=False)
    assert frame["result"].tolist() == [result] * 2, frame["detail"].tolist()
    assert state(folder) == before
    models = map(Path, frame["directory"])
    return {model.parent.name: run_id for model, run_id in zip(models, frame["run_id"], strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_any_name(name: str, trained: Path, tmp_path: Path, tracking: MlflowClient) -> None:
    """Of the directory, and of that in which the artifacts are: imported, pulled, compared, loaded, found again."""
    folder, artifacts = tmp_path / name / "runs", tmp_path / name / "artifacts"
    tracking.create_experiment("places", artifact_location=artifacts.as_uri())
    shutil.copytree(trained, folder)
    runs = imported(folder, "imported")
    assert len(list(artifacts.rglob("*.parquet"))) == 8
    sets = {run: TopKSet.from_checkpoint(folder / run / "model", topk=100) for run in runs}
    assert load_topk(list(runs.values()), topk=100) == {runs[run]: topk_set for run, topk_set in sets.items()}
    comparison = compare(experiment_names=["places"], topk=50)
    assert load_comparison(comparison.run_id).matrix.equals(comparison.matrix)
    folder.rename(tmp_path / "moved")
    assert imported(tmp_path / "moved", "unchanged") == runs


@pytest.mark.parametrize("way", quick([read_only, link], first=1))
def test_a_directory_that_is_not_ours(way: Callable[[Path], Path], trained: Path, tmp_path: Path) -> None:
    """Nothing is written there; the original, the copy and the link are one training."""
    runs = imported(trained, "imported")
    folder = way(Path(shutil.copytree(trained, tmp_path / "copied")))
    assert imported(folder, "unchanged") == runs


@pytest.mark.long
def test_a_training_in_such_a_directory(make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient) -> None:
    """Tracked while it runs, and known when the directory has moved."""
    folder = tmp_path / EVERYTHING
    gradiend_mlflow.autolog(topk=100, experiment_name="places")
    trainer = make_trainer(experiment_dir=folder)
    trainer.train()
    assert gradiend_mlflow.flush()
    (run_id,) = gradiend_mlflow.search_runs("places")["run_id"]
    assert load_topk([run_id], topk=100)[run_id] == TopKSet.from_checkpoint(trainer.model_path, topk=100)
    folder.rename(tmp_path / "moved")
    frame = import_runs(tmp_path / "moved", topk=100, experiment_name="places", progress=False)
    assert frame["run_id"].tolist() == [run_id]
    assert frame["result"].tolist() == ["unchanged"]
