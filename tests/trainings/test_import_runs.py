"""Trainings that were not tracked, imported from disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from click.testing import CliRunner
from gradiend.trainer import PrePruneConfig
from gradiend.trainer.core.callbacks import TrainingCallback
from mlflow import MlflowClient
from mlflow.entities import Run

import gradiend_mlflow
from gradiend_mlflow import (
    CheckpointError,
    InvalidInputError,
    StoreError,
    TopKSet,
    import_runs,
    load_topk,
    search_runs,
)
from gradiend_mlflow.cli import main
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.account import account_of
from gradiend_mlflow.trainings.backfill import Backfill
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.search import find_trainings
from tests.support.sampling import quick
from tests.support.trainings import MakeTrainer, Scripted, children_of, history, make_suite, train


@pytest.fixture(scope="session")
def untracked(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings without the plugin: one seed, several seeds, and a suite."""
    root = tmp_path_factory.mktemp("untracked")
    train(base_model, root / "single", ("3SG", "3PL")).evaluate_encoder()
    train(
        base_model,
        root / "several",
        ("1SG", "1PL"),
        max_seeds=2,
        min_convergent_seeds=None,
        saved_seed_runs="all_tried",
    )
    make_suite(base_model, root / "suites").train()
    return root


@pytest.fixture
def copied(untracked: Path, tmp_path: Path) -> Path:
    """A copy of those trainings, with the times of their files."""
    return Path(shutil.copytree(untracked, tmp_path / "runs"))


def runs_by_name(client: MlflowClient) -> dict[str, Run]:
    """Every run of the default experiment."""
    return {run.info.run_name: run for run in client.search_runs(["0"])}


class FailingLate(TrainingCallback):
    """Fails the training when something is saved already."""

    def on_step_end(self, step: int, *args: Any, **kwargs: Any) -> None:
        if step == 5:
            raise RuntimeError("out of luck")


class TestImport:
    """`import_runs`."""

    def test_everything_below_a_directory(self, copied: Path, tracking: MlflowClient) -> None:
        """Single, several seeds, a suite: as runs with sets, curves, params, seeds and the times of their files."""
        frame = import_runs(copied, topk=100, progress=False)
        assert set(frame["result"]) == {"imported"}
        runs = runs_by_name(tracking)
        pairs = ["pronouns/1SG__3SG", "pronouns/1SG__3PL", "pronouns/3PL__3SG"]
        assert set(runs) == {"3SG_3PL", "1SG_1PL", "1SG_1PL/seed_0", "1SG_1PL/seed_1", "pronouns", *pairs}
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        suite = runs["pronouns"]
        assert suite.data.tags["gradiend.kind"] == "suite"
        assert {run.info.run_name for run in children_of(tracking, suite)} == set(pairs)
        assert len(children_of(tracking, runs["1SG_1PL"])) == 2
        for directory, run_id in zip(frame["directory"], frame["run_id"], strict=True):
            run = tracking.get_run(run_id)
            training_file = json.loads((Path(directory) / "training.json").read_text())
            assert load_topk([run_id], topk=100)[run_id] == TopKSet.from_checkpoint(directory, topk=100)
            assert history(tracking, run, "train/loss") == dict(enumerate(training_file["losses"], start=1))
            assert run.info.end_time == int((Path(directory) / "training.json").stat().st_mtime * 1000)
            assert run.info.end_time - run.info.start_time == int(training_file["time"]["total"] * 1000)
            assert run.data.params["max_steps"] == "4"
            assert run.info.start_time <= suite.info.end_time or run.data.tags.get("mlflow.parentRunId") is None

    def test_evaluations_come_along(self, copied: Path, tracking: MlflowClient) -> None:
        """What was evaluated after the training: figures as metrics, tables as artifacts."""
        import_runs(copied / "single", progress=False)
        (run,) = tracking.search_runs(["0"])
        result = json.loads(next((copied / "single" / "3SG_3PL").glob("encoded_values_*test.json")).read_text())
        assert run.data.metrics["eval/test/correlation"] == result["correlation"]
        assert run.data.metrics["eval/test/mean/3PL"] == result["mean_by_feature_class"]["3PL"]
        names = {item.path for item in tracking.list_artifacts(run.info.run_id, "gradiend/evaluation")}
        assert "gradiend/evaluation/encoded_values_max_size_4_split_test.csv" in names

    def test_twice_adds_nothing(self, copied: Path, tracking: MlflowClient) -> None:
        """Not a run, not a value; and wherever below the path is asked to begin."""
        first = import_runs(copied, progress=False)
        before = {name: run.to_dictionary() for name, run in runs_by_name(tracking).items()}
        again = import_runs(copied, progress=False)
        import_runs(copied / "single" / "3SG_3PL" / "model", progress=False)
        assert set(again["result"]) == {"unchanged"}
        assert again["run_id"].tolist() == first["run_id"].tolist()
        assert {name: run.to_dictionary() for name, run in runs_by_name(tracking).items()} == before

    def test_what_is_tracked_already_is_left_alone(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Live runs and imports know of each other."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(max_seeds=2, min_convergent_seeds=None)
        trainer.train()
        before = {name: run.to_dictionary() for name, run in runs_by_name(tracking).items()}
        frame = import_runs(trainer.experiment_dir, progress=False)
        assert frame["result"].tolist() == ["unchanged"]
        assert {name: run.to_dictionary() for name, run in runs_by_name(tracking).items()} == before

    def test_a_directory_that_changed_updates_its_run(self, copied: Path, tracking: MlflowClient) -> None:
        """Another evaluation: it is added; the curves are not doubled."""
        import_runs(copied / "single", progress=False)
        table = next((copied / "single" / "3SG_3PL").glob("encoded_values_*test.json"))
        other = table.with_name("encoded_values_max_size_9_split_train.json")
        other.write_text(json.dumps({"correlation": 0.25}))
        frame = import_runs(copied / "single", progress=False)
        assert frame["result"].tolist() == ["updated"]
        (run,) = tracking.search_runs(["0"])
        assert run.data.metrics["eval/train/correlation"] == 0.25
        other.write_text(json.dumps({"correlation": 0.75}))
        import_runs(copied / "single", progress=False)
        (run,) = tracking.search_runs(["0"])
        assert run.data.metrics["eval/train/correlation"] == 0.75
        assert set(history(tracking, run, "train/loss")) == {1, 2, 3, 4}
        assert set(history(tracking, run, "best/step")) == {4}

    def test_another_training_in_the_directory_is_another_run(
        self, copied: Path, make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """MLflow cannot forget values: the old run stays as it was and says which one replaces it."""
        import_runs(copied / "single", progress=False)
        make_trainer(experiment_dir=copied / "single", learning_rate=1e-3).train()
        frame = import_runs(copied / "single", progress=False)
        assert frame["result"].tolist() == ["imported"]
        new, old = tracking.search_runs(["0"], order_by=["attributes.start_time DESC"])
        assert new.info.run_id == frame["run_id"][0] == old.data.tags["gradiend.superseded_by"]
        assert (old.data.params["learning_rate"], new.data.params["learning_rate"]) == ("0.01", "0.001")
        assert import_runs(copied / "single", progress=False)["result"].tolist() == ["unchanged"]

    def test_a_moved_directory_is_known_again(self, copied: Path, tmp_path: Path, tracking: MlflowClient) -> None:
        """By its content."""
        import_runs(copied / "single", progress=False)
        moved = shutil.move(copied / "single", tmp_path / "elsewhere")
        assert import_runs(moved, progress=False)["result"].tolist() == ["unchanged"]
        (moved / "3SG_3PL" / "encoded_values_max_size_9_split_train.json").write_text('{"correlation": 0.5}')
        assert import_runs(moved, progress=False)["result"].tolist() == ["updated"]
        assert len(tracking.search_runs(["0"])) == 1

    @pytest.mark.parametrize("damage", ["json", "weights", "seed"])
    def test_a_broken_directory_is_named_and_the_rest_goes_on(
        self, damage: str, copied: Path, tracking: MlflowClient
    ) -> None:
        """Whatever is broken; with `strict` it is an error that names it, after the rest."""
        broken = copied / "several" / "1SG_1PL"
        if damage == "json":
            (broken / "model" / "training.json").write_text("{")
        elif damage == "weights":
            (broken / "model" / "model.safetensors").write_bytes(b"nothing")
        else:
            (broken / "seeds" / "seed_1" / "training.json").write_text("[]")
        frame = import_runs(copied, progress=False)
        assert dict(zip(frame["result"], frame["directory"], strict=True))["failed"].endswith("1SG_1PL/model")
        assert sorted(frame["result"]) == ["failed", "imported", "imported", "imported", "imported"]
        assert frame.set_index("result")["reason"]["failed"]
        with pytest.raises(CheckpointError, match=r"1 of 5 directories could not be imported:\n  .*1SG_1PL"):
            import_runs(copied, progress=False, strict=True)
        assert not [name for name in runs_by_name(tracking) if name.startswith("1SG_1PL")], "half a run is left"

    def test_a_training_that_was_broken_off(self, copied: Path) -> None:
        """Seeds without a selected model: named, not passed by."""
        shutil.rmtree(copied / "several" / "1SG_1PL" / "model")
        frame = import_runs(copied / "several", progress=False)
        assert frame["result"].tolist() == ["failed"]
        assert "broken off" in frame["reason"][0]

    @pytest.mark.parametrize("options", [{}, {"save_strategy": "steps", "save_steps": 1}])
    def test_a_training_that_was_interrupted(self, options: dict[str, Any], make_trainer: MakeTrainer) -> None:
        """What gradiend saved until then is no finished training; nor are models of single steps."""
        trainer = make_trainer(max_steps=6, **options)
        with pytest.raises(RuntimeError, match="out of luck"):
            trainer.train(callbacks=[FailingLate()], evaluate_fn=Scripted({0: 0.1, 2: 0.9, 4: 0.2}))
        assert list(Path(trainer.experiment_dir).glob("model_*")), "gradiend saved nothing"
        frame = import_runs(trainer.experiment_dir, progress=False)
        assert set(frame["result"]) == {"failed"}
        assert frame["reason"].str.contains("broken off").all()

    @pytest.mark.parametrize("max_seeds", [1, 2])
    def test_a_training_that_failed_for_want_of_convergence(
        self, max_seeds: int, make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """Its model is on disk; tracked live it is known there, and FAILED it stays."""
        gradiend_mlflow.autolog(topk=10)
        trainer = make_trainer(max_seeds=max_seeds, fail_on_non_convergence=True)
        with pytest.raises(RuntimeError, match="converge"):
            trainer.train(evaluate_fn=Scripted({0: 0.1, 2: 0.2, 4: 0.3}))
        before = {name: run.to_dictionary() for name, run in runs_by_name(tracking).items()}
        frame = import_runs(trainer.experiment_dir, progress=False)
        assert set(frame["result"]) <= {"unchanged", "failed"}
        assert {name: run.to_dictionary() for name, run in runs_by_name(tracking).items()} == before

    def test_trainings_without_a_training_file_are_not_confused(
        self, make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """Where gradiend wrote no statistics, another training in the same place does not get the first one's run."""
        gradiend_mlflow.autolog(topk=10)
        make_trainer(save_only_best=False).train()
        gradiend_mlflow.autolog(disable=True)
        trainer = make_trainer(save_only_best=False, learning_rate=1e-3, seed=5)
        trainer.train()
        frame = import_runs(trainer.experiment_dir, topk=10, progress=False)
        assert frame["result"].tolist() == ["imported"]
        sets = load_topk(search_runs(), topk=10)
        assert sets[frame["run_id"][0]] == TopKSet.from_checkpoint(trainer.model_path, topk=10)
        assert len(sets) == 2

    def test_a_training_elsewhere_has_no_seeds_of_an_earlier_one(
        self, make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient
    ) -> None:
        """`train(experiment_dir=...)` goes there; the trainer's own directory holds another training."""
        make_trainer(max_seeds=2, min_convergent_seeds=None).train()
        gradiend_mlflow.autolog(topk=10)
        make_trainer().train(experiment_dir=str(tmp_path / "elsewhere"))
        (run,) = tracking.search_runs(["0"])
        assert run.data.tags["gradiend.seed"] == "0"
        assert "seeds/tried" not in run.data.metrics

    def test_the_users_run_stays_open(self, make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient) -> None:
        """A cached model whose files have changed is logged into it, and does not end it."""
        gradiend_mlflow.autolog(topk=10)
        with mlflow.start_run() as mine:
            trainer = make_trainer()
            trainer.train()
            (Path(trainer.experiment_dir) / "encoded_values_max_size_9_split_train.json").write_text(
                '{"correlation": 0.5}'
            )
            make_trainer(use_cache="always").train()
            run = tracking.get_run(mine.info.run_id)
            assert run.data.metrics["eval/train/correlation"] == 0.5
            assert run.info.status == "RUNNING"

    def test_from_within(self, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path, as one types it."""
        monkeypatch.chdir(copied / "single" / "3SG_3PL" / "model")
        assert import_runs(".", progress=False)["run_name"].tolist() == ["3SG_3PL"]
        monkeypatch.chdir(copied / "suites" / "pronouns")
        assert len(import_runs(".", progress=False)) == 3

    def test_names_that_gradiend_uses_too(self, copied: Path, tmp_path: Path) -> None:
        """A directory called cache or seeds is gradiend's own only beside a model."""
        (tmp_path / "cache" / "seeds").mkdir(parents=True)
        shutil.move(copied, tmp_path / "cache" / "seeds" / "lr_search")
        assert len(import_runs(tmp_path / "cache", progress=False)) == 5

    def test_what_mlflow_stores_is_no_training(
        self, make_trainer: MakeTrainer, tmp_path: Path, tracking: MlflowClient
    ) -> None:
        """Runs hold copies of training files, and of models if asked to."""
        gradiend_mlflow.autolog(topk=10, log_models=True, experiment_name="local")
        make_trainer().train()
        assert gradiend_mlflow.flush()
        assert list(tmp_path.glob("mlflow/**/artifacts/**/training.json")), "the store lies elsewhere"
        frame = import_runs(tmp_path, experiment_name="local", progress=False)
        assert frame["result"].tolist() == ["unchanged"]

    def test_deleted_weights_leave_a_run_without_sets(self, copied: Path, tracking: MlflowClient) -> None:
        """The curves are worth keeping; the run says why it has no sets."""
        (copied / "single" / "3SG_3PL" / "model" / "model.safetensors").unlink()
        frame = import_runs(copied / "single", progress=False)
        run = tracking.get_run(frame["run_id"][0])
        assert "gradiend.topk" not in run.data.tags
        assert "weights were not kept" in run.data.tags["gradiend.topk_left_out"]
        assert "weights were not kept" in frame["reason"][0]

    def test_weights_that_are_deleted_later_leave_the_sets(self, copied: Path, tracking: MlflowClient) -> None:
        """What was logged of them stays true."""
        import_runs(copied / "single", progress=False)
        (copied / "single" / "3SG_3PL" / "model" / "model.safetensors").unlink()
        assert import_runs(copied / "single", progress=False)["result"].tolist() == ["updated"]
        (run,) = tracking.search_runs(["0"])
        assert "gradiend.topk" in run.data.tags
        assert "gradiend.topk_left_out" not in run.data.tags

    def test_a_model_without_a_training_file_is_named(self, copied: Path) -> None:
        """Copied in part, or broken off."""
        (copied / "single" / "3SG_3PL" / "model" / "training.json").unlink()
        frame = import_runs(copied / "single", progress=False)
        assert frame["result"].tolist() == ["failed"]
        assert "no training.json" in frame["reason"][0]

    def test_intermediate_models_are_no_trainings(self, make_trainer: MakeTrainer) -> None:
        """Of epochs, of steps, and the last step's where the best is kept beside it."""
        trainer = make_trainer(save_only_best=False, save_strategy="steps", save_steps=2, num_train_epochs=2)
        trainer.train(evaluate_fn=Scripted({0: 0.1, 2: 0.9, 4: 0.2}))
        beside = {path.name for path in Path(trainer.experiment_dir).iterdir() if path.is_dir()}
        assert beside >= {"model", "model_best", "model_epoch_1"}
        frame = import_runs(trainer.experiment_dir, progress=False)
        assert frame["directory"].tolist() == [trainer.model_path]

    def test_what_gradiend_did_not_write_down_is_reported(self, make_trainer: MakeTrainer) -> None:
        """With save_only_best=False its file may hold nothing: the run has sets, but neither params nor curves."""
        trainer = make_trainer(save_only_best=False)
        trainer.train()
        frame = import_runs(trainer.experiment_dir, progress=False)
        assert frame["result"].tolist() == ["imported"]
        assert "holds no params and no metrics" in frame["reason"][0]
        assert load_topk(frame, topk=100)

    def test_copies_that_are_imported_at_once_are_one_training(self, copied: Path, tracking: MlflowClient) -> None:
        """As many as there are threads, side by side."""
        for number in range(4):
            shutil.copytree(copied / "single", copied.parent / "copies" / str(number))
        frame = gradiend_mlflow.import_runs(copied.parent / "copies", topk=50, progress=False)
        assert sorted(frame["result"]) == ["imported", "unchanged", "unchanged", "unchanged"]
        assert frame["run_id"].nunique() == 1

    def test_a_copy_of_a_directory_is_no_second_training(self, copied: Path, tracking: MlflowClient) -> None:
        """Whichever comes first gets the run."""
        shutil.copytree(copied / "single", copied / "single" / "copy")
        backfill = Backfill(Store(tracking.tracking_uri), "0", LogOptions(topk=10))
        backfill.look_up()
        found = find_trainings(copied / "single").trainings
        first, second = (backfill.add(account_of(training)) for training in found)
        assert (first.result, second.result) == ("imported", "unchanged")
        assert first.run_id == second.run_id

    def test_links_that_lead_in_circles(self, copied: Path) -> None:
        """Every training once."""
        (copied / "single" / "again").symlink_to(copied)
        assert len(import_runs(copied, progress=False)) == 5

    def test_unacceptable_paths(self, tmp_path: Path) -> None:
        """Say what is wrong with them."""
        with pytest.raises(InvalidInputError, match=r"needs a directory; .*nowhere is not there"):
            import_runs(tmp_path / "nowhere")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InvalidInputError, match=r"no GRADIEND training below .*empty"):
            import_runs(tmp_path / "empty")

    def test_a_server_that_cannot_be_reached_is_one_error(self, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not one per directory."""
        monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1")
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
            import_runs(copied, progress=False, tracking_uri="http://127.0.0.1:9")


Field = tuple[str, Any]

# What an import cannot know, or is another run's by nature.
OF_NATURE = {
    "tag mlflow.note.content",  # it links to the run itself; test_description compares the rest
    "tag mlflow.autologging",  # how it was logged
    "tag gradiend.imported",
    "tag gradiend.key",  # by which a journal finds the run that it started
    "tag gradiend.version",  # which gradiend trained it is not on disk
    "tag mlflow.source.name",
    "tag mlflow.runName",  # compared by the names themselves
}


def fields_of(client: MlflowClient, run: Run) -> Iterator[Field]:
    """Everything that a run says, apart from ids and times."""
    yield "name", run.info.run_name
    yield "status", run.info.status
    yield from ((f"tag {key}", value) for key, value in run.data.tags.items() if key != "mlflow.parentRunId")
    yield from ((f"param {key}", value) for key, value in run.data.params.items())
    for key in run.data.metrics:
        yield f"metric {key}", history(client, run, key)
    for folder in ("gradiend", "gradiend/topk", "gradiend/figures", "gradiend/evaluation"):
        for item in client.list_artifacts(run.info.run_id, folder):
            yield f"artifact {item.path}", item.file_size
    for child in sorted(children_of(client, run), key=lambda child: child.info.run_name):
        yield from ((f"{child.info.run_name}: {name}", value) for name, value in fields_of(client, child))


@pytest.mark.parametrize(
    "options",
    quick(
        [
            {"max_seeds": 2, "min_convergent_seeds": None, "saved_seed_runs": "all_tried"},
            {"pre_prune_config": PrePruneConfig(n_samples=4, topk=0.5), "torch_dtype": torch.bfloat16},
            {},
        ],
        first=2,
    ),
    ids=["seeds", "pruned", "single"],
)
def test_import_and_live_tracking_give_the_same_run(
    options: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """Field by field, children and artifacts included; those that differ by nature are named above."""
    gradiend_mlflow.autolog(topk=100, experiment_name="live")
    trainer = make_trainer(**options)
    trainer.train()
    trainer.evaluate_encoder()
    gradiend_mlflow.autolog(disable=True)
    import_runs(trainer.experiment_dir, topk=100, experiment_name="imported", progress=False)
    (live,), (imported,) = (search_runs([name])["run_id"] for name in ("live", "imported"))
    ours, theirs = (dict(fields_of(tracking, tracking.get_run(run_id))) for run_id in (live, imported))
    differing = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert {name.rpartition(": ")[2] for name in differing} <= OF_NATURE
    assert len(ours) > 60


class TestCommand:
    """`gradiend-mlflow import`."""

    def test_it_says_what_it_did(self, copied: Path, tracking: MlflowClient) -> None:
        """A line for every directory and a summary; a second time nothing is new."""
        arguments = ["import", str(copied), "--topk", "50", "--experiment-name", "old", "--tag", "team=nlp"]
        first = CliRunner().invoke(main, arguments)
        assert first.exit_code == 0, first.output
        assert first.stdout.splitlines()[-1] == "5 imported"
        frame = search_runs(["old"])
        assert set(frame["k"]) == {50}
        assert {tracking.get_run(run_id).data.tags["team"] for run_id in frame["run_id"]} == {"nlp"}
        assert CliRunner().invoke(main, arguments).stdout.splitlines()[-1] == "5 unchanged"

    def test_a_failure_is_the_exit_code(self, copied: Path) -> None:
        """And named on standard error; quiet leaves only that."""
        (copied / "single" / "3SG_3PL" / "model" / "training.json").write_text("{")
        result = CliRunner().invoke(main, ["import", str(copied), "--quiet"])
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "3SG_3PL/model" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["import", "nowhere"], "needs a directory"),
            (["import", ".", "--topk", "many"], "many"),
            (["import", ".", "--tag", "alone"], "KEY=VALUE"),
            (["import", ".", "--part", "decoder"], "'decoder' is not one of"),
        ],
    )
    def test_unacceptable_arguments(self, arguments: list[str], message: str) -> None:
        """An error message without a traceback."""
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code != 0
        assert message in result.output
        assert "Traceback" not in result.output
