"""A finished training as the run that it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gradiend_mlflow import CheckpointError
from gradiend_mlflow.trainings.account import account_of, derive_account
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.trainings.files import TrainingFiles
from tests.support.trainings import MakeTrainer


@pytest.mark.parametrize("options", [{}, {"max_seeds": 2, "min_convergent_seeds": None}])
def test_what_has_been_read_is_all_that_it_takes(options: dict[str, Any], make_trainer: MakeTrainer) -> None:
    """The account is derived from the files that were read, also when they are gone."""
    trainer = make_trainer(**options)
    trainer.train()
    trainer.evaluate_encoder()
    directory = TrainingDirectory.of(Path(trainer.model_path), Path(trainer.experiment_dir))
    account, files = account_of(directory), TrainingFiles.read(directory)
    shutil.rmtree(trainer.experiment_dir)
    derived = derive_account(files)
    assert derived == account
    assert len(derived.seeds) == len(directory.seeds) == (len(files.seeds.report["runs"]) if options else 0)
    assert "eval/test/correlation" in derived.metrics
    with pytest.raises(CheckpointError, match=r"training\.json does not exist"):
        account_of(directory)


def test_a_name_and_tags_that_are_known_count(make_trainer: MakeTrainer) -> None:
    """Those of the trainer, rather than what the files say of them."""
    trainer = make_trainer()
    trainer.train()
    directory = TrainingDirectory.of(Path(trainer.model_path), Path(trainer.experiment_dir))
    account = account_of(directory, name="mine", about={"gradiend.run_id": "its id"})
    assert (account.name, account.run_tags["gradiend.run_id"]) == ("mine", "its id")
    assert account_of(directory).name == account_of(directory).run_tags["gradiend.run_id"] == "3SG_3PL"
