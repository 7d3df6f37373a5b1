"""The example of what lies past one machine, on runs that were trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from scale import compare_all
from tests.support.trainings import MakeTrainer

PAIRS = (("3SG", "3PL"), ("1SG", "1PL"))


@pytest.mark.long
def test_it_does_the_whole(
    make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real trainings, two processes; the means are those of a comparison."""
    gradiend_mlflow.autolog(experiment_name="pronouns")
    for pair in PAIRS:
        for seed in (0, 1):
            make_trainer(*pair, experiment_dir=tmp_path / f"runs{seed}", seed=seed).train()
    means = compare_all("pronouns", tmp_path, topk=100)
    comparison = gradiend_mlflow.compare(experiment_names="pronouns", topk=100, groups="target_classes", log=False)
    expected = comparison.to_frame("groups")
    assert means["mean"].round(9).tolist() == expected["mean"].round(9).tolist()
    said = capsys.readouterr().out
    assert "ExportedDataset(4 sets of 4 runs, 4 new:" in said
    assert "Dask shows its work at http" in said
