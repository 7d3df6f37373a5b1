"""What the page of a training says first."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import import_runs
from tests.support.trainings import MakeTrainer, only_run

_DESCRIPTION = "mlflow.note.content"


def test_live_and_imported_say_the_same(make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
    """The classes, the result, what was chosen; links with the ids of this run and this experiment."""
    gradiend_mlflow.autolog(topk=10, experiment_name="live")
    trainer = make_trainer(max_seeds=2, learning_rate=0.003)
    trainer.train()
    import_runs(tmp_path / "runs", topk=10, experiment_name="imported", progress=False)
    texts = {}
    for name in ("live", "imported"):
        experiment = tracking.get_experiment_by_name(name)
        assert experiment is not None
        (run,) = tracking.search_runs([experiment.experiment_id], "tags.`gradiend.kind` = 'training'")
        text = run.data.tags[_DESCRIPTION]
        assert text.startswith(f"**{' vs '.join(trainer.target_classes)} on ")
        assert f"correlation {run.data.metrics['best/correlation']:.3f}" in text
        assert f"seed {run.data.tags['gradiend.seed']} of 2 seeds tried" in text
        assert "learning_rate 0.003" in text
        assert "max_seeds 2" in text
        assert "weight_decay" not in text  # nobody chose it
        assert f"(#/experiments/{experiment.experiment_id}/runs?" in text
        assert f"run_uuid={run.info.run_id}&path=gradiend%2Ffigures%2Ftopk_layers.png" in text
        texts[name] = text.replace(run.info.run_id, "").replace(f"/{experiment.experiment_id}/", "")
        assert "__" not in texts[name]
        for child in tracking.search_runs([experiment.experiment_id], "tags.`gradiend.kind` = 'seed'"):
            assert _DESCRIPTION not in child.data.tags
    assert texts["live"] == texts["imported"]


def test_an_owners_description_stays(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """That of a run that was there before the training."""
    gradiend_mlflow.autolog(topk=10)
    with mlflow.start_run(run_name="mine", description="my words"):
        make_trainer("3SG", "3PL", max_seeds=1).train()
    run = only_run(tracking)
    assert run.data.tags[_DESCRIPTION] == "my words"
    assert run.info.run_name == "mine"
    assert "best/correlation" in run.data.metrics


def test_one_among_the_extra_tags_stays(make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
    """In an import as in a live training."""
    gradiend_mlflow.autolog(topk=10, extra_tags={_DESCRIPTION: "from the tags"})
    make_trainer(max_seeds=1).train()
    assert only_run(tracking).data.tags[_DESCRIPTION] == "from the tags"
    frame = import_runs(
        tmp_path / "runs",
        topk=10,
        experiment_name="imported",
        extra_tags={_DESCRIPTION: "from the tags"},
        progress=False,
    )
    assert tracking.get_run(frame["run_id"][0]).data.tags[_DESCRIPTION] == "from the tags"


@pytest.mark.parametrize("name", ["__run_id__", "a|b](javascript:alert(1))", "<img src=x onerror=alert(1)>"])
def test_names_are_text(make_trainer: MakeTrainer, tracking: MlflowClient, name: str) -> None:
    """Neither filled in, nor a link, nor HTML."""
    gradiend_mlflow.autolog(topk=10)
    trainer = make_trainer(max_seeds=1)
    trainer.training_args.metadata = {"note": name}
    trainer.train()
    run = only_run(tracking)
    text = run.data.tags[_DESCRIPTION]
    chosen = next(line for line in text.splitlines() if line.startswith("Chosen:"))
    assert run.info.run_id not in chosen
    assert "](" not in chosen.replace("\\](", "")
    assert "<" not in chosen
