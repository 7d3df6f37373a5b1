"""Every way in which gradiend trains, seen with the MLflow client afterwards."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer import PostPruneConfig, PrePruneConfig
from gradiend.trainer.text.classification import TextClassificationTrainer
from gradiend.trainer.text.prediction.model_with_gradiend import TextPredictionModelWithGradiend
from mlflow import MlflowClient
from mlflow.entities import Run

import gradiend_mlflow
from gradiend_mlflow import PARTS, MLflowCallback, TopKSet, load_topk, search_runs, start_run
from tests.support.logs import warned
from tests.support.sampling import quick
from tests.support.trainings import MakeTrainer, Scripted, children_of, history, only_run

CONVERGED = {0: 0.1, 2: 0.9, 4: 0.8}


class Opposite(Scripted):
    """An evaluation with which gradiend takes a training for converged, or not."""

    def __call__(self, config: Any, training_stats: Any) -> dict[str, Any]:
        result = super().__call__(config, training_stats)
        return {**result, "mean_by_feature_class": {"3SG": 1.0, "3PL": -1.0}}


def training_run(client: MlflowClient) -> Run:
    """The one training run of the default experiment."""
    (run_id,) = search_runs()["run_id"]
    return client.get_run(run_id)


def assert_holds_selected_model(client: MlflowClient, trainer: TextPredictionTrainer, topk: int = 100) -> Run:
    """The one training run is finished and has the sets of the trainer's selected model, for every part it has."""
    run = training_run(client)
    assert run.info.status == "FINISHED"
    logged = json.loads(run.data.tags["gradiend.topk"])
    left_out = json.loads(run.data.tags.get("gradiend.topk_left_out", "{}"))
    assert set(logged) | set(left_out) == set(PARTS)
    for part in logged:
        pulled = load_topk([run.info.run_id], part=part, topk=topk)[run.info.run_id]
        assert pulled == TopKSet.from_checkpoint(trainer.model_path, part=part, topk=topk)
    return run


class TestSeeds:
    """Several seeds: gradiend's default."""

    def test_early_stop(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """The first seed that converges ends it: one child, converged, with its scores; the report in the parent."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(max_seeds=3, min_convergent_seeds=1, convergent_mean_by_class_threshold=None)
        trainer.train(evaluate_fn=Scripted(CONVERGED))
        run = assert_holds_selected_model(tracking, trainer)
        (seed,) = children_of(tracking, run)
        report = trainer.get_seed_report()
        assert report["early_stop_reason"] is not None, "the training did not stop early"
        assert seed.data.tags["gradiend.seed"] == run.data.tags["gradiend.seed"] == "0"
        assert seed.data.tags["gradiend.converged"] == run.data.tags["gradiend.converged"] == "true"
        assert seed.data.metrics["seed/training_score"] == 0.9
        assert seed.data.metrics["seed/selection_score"] == report["runs"][0]["selection_score"]
        assert run.data.metrics["seeds/tried"] == run.data.metrics["seeds/convergent"] == 1
        assert "gradiend/seed_report.json" in {
            item.path for item in tracking.list_artifacts(run.info.run_id, "gradiend")
        }

    @pytest.mark.parametrize("saved", ["best_only", "all_convergent", "all_tried"])
    def test_some_seeds_fail_to_converge(self, saved: str, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Whatever gradiend keeps of them, each seed has its curves, its verdict and its sets."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(
            max_seeds=3, min_convergent_seeds=2, convergent_mean_by_class_threshold=None, saved_seed_runs=saved
        )
        scores = iter([{0: 0.1, 2: 0.2, 4: 0.3}, CONVERGED, CONVERGED])
        trainer.train(evaluate_fn=PerSeed(scores))
        run = assert_holds_selected_model(tracking, trainer)
        seeds = children_of(tracking, run)
        assert [seed.data.tags["gradiend.converged"] for seed in seeds] == ["false", "true", "true"]
        assert [set(json.loads(seed.data.tags["gradiend.topk"])) for seed in seeds] == [set(PARTS)] * 3
        assert [history(tracking, seed, "eval/correlation")[4] for seed in seeds] == [0.3, 0.8, 0.8]
        assert run.data.tags["gradiend.seed"] == str(trainer.get_seed_report()["best_seed"]) != "0"
        assert run.data.metrics["seeds/convergent"] == 2

    def test_gradiend_is_not_believed_where_it_did_not_check(
        self, make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Without `min_convergent_seeds` its training.json says True unchecked; the report on the seeds says False."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(max_seeds=2, min_convergent_seeds=None)
        trainer.train(evaluate_fn=Scripted({0: 0.1, 2: 0.2, 4: 0.3}))
        training_file = json.loads((Path(trainer.model_path) / "training.json").read_text())
        assert training_file["convergence_info"]["converged"] is True, "gradiend checks by now"
        run = assert_holds_selected_model(tracking, trainer)
        assert run.data.tags["gradiend.converged"] == "false"
        assert [seed.data.tags["gradiend.converged"] for seed in children_of(tracking, run)] == ["false", "false"]
        gradiend_mlflow.import_runs(trainer.experiment_dir, experiment_name="imported", topk=100, progress=False)
        assert search_runs("imported")["converged"].tolist() == [False]
        bare = tracking.create_run("0").info.run_id
        gradiend_mlflow.log_topk(trainer.model_path, run_id=bare, topk=100)  # knows nothing of the seeds
        assert "gradiend.converged" not in tracking.get_run(bare).data.tags

    def test_a_resumed_training(
        self, make_trainer: MakeTrainer, tracking: MlflowClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Gradiend takes every seed from its cache and selects again: the run has everything, and nobody is blamed."""
        options = {"max_seeds": 2, "min_convergent_seeds": 2, "saved_seed_runs": "all_tried", "use_cache": True}
        trainer = make_trainer(**options)
        trainer.train(evaluate_fn=Scripted(CONVERGED))
        shutil.rmtree(trainer.model_path)
        gradiend_mlflow.autolog(topk=100)
        resumed = make_trainer(**options)
        with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
            resumed.train(evaluate_fn=Scripted(CONVERGED))
        assert all(entry["used_cache"] for entry in resumed.get_seed_report()["runs"]), "it was not resumed"
        run = assert_holds_selected_model(tracking, resumed)
        assert len(children_of(tracking, run)) == 2
        assert warned(caplog) == []

    def test_failing_for_want_of_convergence(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """FAILED with the reason; what the seeds were is kept, with gradiend's report."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(max_seeds=2, fail_on_non_convergence=True)
        with pytest.raises(RuntimeError, match="converge"):
            trainer.train(evaluate_fn=Scripted({0: 0.1, 2: 0.2, 4: 0.3}))
        (run,) = tracking.search_runs(["0"], "tags.`gradiend.kind` = 'training'")
        assert run.info.status == "FAILED"
        assert "converge" in run.data.tags["gradiend.failure"]
        seeds = children_of(tracking, run)
        assert [seed.info.status for seed in seeds] == ["FINISHED", "FINISHED"]
        assert [seed.data.tags["gradiend.converged"] for seed in seeds] == ["false", "false"]
        assert all("gradiend.topk" in seed.data.tags for seed in seeds)
        assert [seed.data.metrics["seed/training_score"] for seed in seeds] == [0.3, 0.3]
        assert "gradiend/seed_report.json" in {
            item.path for item in tracking.list_artifacts(run.info.run_id, "gradiend")
        }

    def test_stability_among_seeds(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """What gradiend finds with `analyze_seed_stability` are metrics of the parent."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(
            max_seeds=2,
            min_convergent_seeds=2,
            convergent_mean_by_class_threshold=None,
            analyze_seed_stability=True,
            seed_stability_topk=50,
        )
        trainer.train(evaluate_fn=Scripted(CONVERGED))
        stability = trainer.get_seed_report()["topk_stability"]
        run = assert_holds_selected_model(tracking, trainer)
        assert run.data.metrics["seeds/topk_overlap_mean"] == stability["mean_pairwise_overlap_fraction"]
        assert run.data.metrics["seeds/topk_intersection"] == stability["intersection_size"]

    @pytest.mark.long
    def test_a_seed_from_gradiends_cache(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """A seed that is not trained again is a child nevertheless, from its files."""
        options = {"max_seeds": 2, "min_convergent_seeds": None, "saved_seed_runs": "all_tried"}
        first = make_trainer(**options)
        first.train()
        for file in (Path(first.model_path), Path(first.experiment_dir) / "seeds" / "seed_1"):
            for inner in file.iterdir():
                inner.unlink()
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer(**options, use_cache=True)
        trainer.train()
        assert [entry["used_cache"] for entry in trainer.get_seed_report()["runs"]] == [True, False]
        run = assert_holds_selected_model(tracking, trainer)
        cached, trained = sorted(children_of(tracking, run), key=lambda seed: seed.data.tags["gradiend.seed"])
        assert [cached.info.status, trained.info.status] == ["FINISHED", "FINISHED"]
        assert cached.data.params["seed"] == "0"
        assert set(history(tracking, cached, "train/loss")) == {1, 2, 3, 4}
        assert "gradiend.topk" in cached.data.tags


class PerSeed:
    """Other correlations for every seed."""

    def __init__(self, scores: Any) -> None:
        self.scores, self.current = scores, {}

    def __call__(self, config: Any, training_stats: Any) -> dict[str, Any]:
        if training_stats["global_step"] == 0:
            self.current = next(self.scores)
        return Scripted(self.current)(config, training_stats)


class TestLearningRateSearch:
    """`learning_rate="tune"`: it trains the same trainer again and again."""

    EASY = {"convergent_score_threshold": 0.0, "convergent_mean_by_class_threshold": 0.0}  # noqa: RUF012

    @pytest.fixture
    def search(self) -> dict[str, Any]:
        """The options of a short one, which gradiend 0.2.0 and 0.2.1 do not have."""
        module = pytest.importorskip("gradiend.trainer.core.lr_search")
        return {"learning_rate": "tune", "lr_search_config": module.LRSearchConfig(probe_steps=4, confirm=False)}

    @pytest.mark.parametrize("max_seeds", quick([2, 1], first=1))
    def test_its_probes_are_no_runs(
        self, max_seeds: int, search: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """One training run; it says which learning rate was found, and how."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer("1SG", "3SG", **search, **self.EASY, max_seeds=max_seeds)
        trainer.train()
        run = assert_holds_selected_model(tracking, trainer)
        best = trainer.lr_search_result.best_lr
        assert run.data.tags["gradiend.tuned_learning_rate"] == str(best)
        assert float(run.data.params["learning_rate"]) == best
        assert "gradiend/lr_search.json" in {
            item.path for item in tracking.list_artifacts(run.info.run_id, "gradiend")
        }
        seeds = children_of(tracking, run)
        assert len(tracking.search_runs(["0"])) == 1 + len(seeds)
        assert len(seeds) == (0 if max_seeds == 1 else trainer.get_seed_report()["seeds_tried"][-1] + 1)

    @pytest.mark.long
    def test_a_search_by_itself_makes_no_run(
        self, search: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """`tune_learning_rate()` before `train()`."""
        gradiend_mlflow.autolog(topk=100)
        trainer = make_trainer("1SG", "3SG", **search, **self.EASY)
        trainer.tune_learning_rate()
        assert tracking.search_runs(["0"]) == []

    @pytest.mark.long
    def test_a_search_that_fails(
        self, search: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """The run is FAILED and holds what was probed."""
        gradiend_mlflow.autolog(topk=100)
        with pytest.raises(RuntimeError, match="learning-rate search"):
            make_trainer(**search, convergent_score_threshold=2.0).train()
        run = only_run(tracking)
        assert run.info.status == "FAILED"
        assert run.data.tags["gradiend.failure"].startswith("NoConvergentLearningRate")
        assert "gradiend/lr_search.json" in {
            item.path for item in tracking.list_artifacts(run.info.run_id, "gradiend")
        }


PRUNE_BEFORE = PrePruneConfig(n_samples=4, topk=0.5)


@pytest.mark.parametrize(
    "options",
    quick(
        [
            {"pre_prune_config": PRUNE_BEFORE, "max_seeds": 2, "min_convergent_seeds": None},
            {"post_prune_config": PostPruneConfig(topk=0.1)},
            {"delete_models": True, "max_seeds": 2, "min_convergent_seeds": None},
            {"save_only_best": False, "max_seeds": 2, "min_convergent_seeds": None, "saved_seed_runs": "all_tried"},
            {"supervised_decoder": True, "convergent_metric": "loss", "convergent_score_threshold": 1.0},
            {"torch_dtype": torch.bfloat16},
            {"pre_prune_config": PRUNE_BEFORE},
            {"delete_models": True},
            {"save_only_best": False},
            {"save_strategy": "steps", "save_steps": 2},
            {"params": ["bert.encoder.layer.0.*"]},
            {"do_eval": False},
        ],
        first=6,
    ),
    ids=",".join,
)
def test_the_selected_model_is_logged(
    options: dict[str, Any], make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """However a training is configured, its run holds what `train()` selected, with params and losses."""
    gradiend_mlflow.autolog(topk=100)
    trainer = make_trainer(**options)
    trainer.train()
    run = assert_holds_selected_model(tracking, trainer, topk=50)
    assert set(history(tracking, run, "train/loss")) == {1, 2, 3, 4}
    for name in options:
        assert any(key == name or key.startswith(f"{name}.") for key in run.data.params)


def test_several_latent_neurons_and_no_bias(
    base_model: str, make_trainer: MakeTrainer, tracking: MlflowClient
) -> None:
    """A model that the user has built; without gradiend's evaluation, which knows one neuron only."""
    gradiend_mlflow.autolog(topk=100)
    trainer = make_trainer(do_eval=False)
    model = TextPredictionModelWithGradiend.from_pretrained(
        base_model, feature_definition=trainer, latent_dim=2, bias_decoder=False
    )
    trainer.train(model=model)
    config = json.loads((Path(trainer.model_path) / "config.json").read_text())
    assert (config["architecture"]["latent_dim"], config["architecture"]["bias_decoder"]) == (2, False)
    run = assert_holds_selected_model(tracking, trainer)
    assert "decoder-bias" in json.loads(run.data.tags["gradiend.topk_left_out"])


def test_what_gradiend_refuses_is_a_failed_run(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """A supervised encoder fails in gradiend 0.2.3 before it begins; the run says so."""
    gradiend_mlflow.autolog()
    with pytest.raises(TypeError, match="target must be str"):
        make_trainer().train(supervised_encoder=True)
    run = only_run(tracking)
    assert run.info.status == "FAILED"
    assert run.data.tags["gradiend.failure"].startswith("TypeError: target must be str")


def test_classification(tmp_path: Path, base_model: str, tracking: MlflowClient) -> None:
    """A TextClassificationTrainer is logged like any other."""
    import pandas as pd

    gradiend_mlflow.autolog(topk=100)
    texts = [
        (f"we are {mood} near the {place} .", label)
        for mood, label in (("happy", "good"), ("tired", "bad"))
        for place in ("sea", "lake", "river", "office", "garden", "school")
    ]
    splits = ["train", "train", "train", "train", "validation", "test"] * 2
    trainer = TextClassificationTrainer(
        model=base_model,
        run_id="mood",
        data=pd.DataFrame(
            {"text": [text for text, _ in texts], "label": [label for _, label in texts], "split": splits}
        ),
        target_classes=["good", "bad"],
        args=TrainingArguments(
            experiment_dir=str(tmp_path / "runs"),
            learning_rate=1e-2,
            max_steps=4,
            eval_steps=2,
            train_batch_size=2,
            max_seeds=1,
        ),
    )
    trainer.train()
    run = assert_holds_selected_model(tracking, trainer)
    assert run.info.run_name == "mood"
    assert json.loads(run.data.tags["gradiend.target_classes"]) == ["good", "bad"]
    assert set(history(tracking, run, "train/loss")) == {1, 2, 3, 4}


class TestCache:
    """`use_cache`: gradiend reuses a model instead of training."""

    def test_a_logged_model_makes_no_second_run(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """By autolog, and by a block, whose run is then the first one."""
        gradiend_mlflow.autolog(topk=100)
        make_trainer().train()
        make_trainer(use_cache="always").train()
        first = only_run(tracking)
        gradiend_mlflow.autolog(disable=True)
        trainer = make_trainer(use_cache="always")
        with start_run(trainer, topk=100) as callback:
            trainer.train(callbacks=[callback])
        assert callback.run_id == only_run(tracking).info.run_id == first.info.run_id

    def test_a_model_that_was_never_logged_is_imported_from_disk(
        self, make_trainer: MakeTrainer, tracking: MlflowClient
    ) -> None:
        """With its metrics by step, params, seeds and sets; once."""
        make_trainer(max_seeds=2, min_convergent_seeds=None, saved_seed_runs="all_tried").train()
        gradiend_mlflow.autolog(topk=100)
        for _ in range(2):
            trainer = make_trainer(max_seeds=2, min_convergent_seeds=None, use_cache="always")
            trainer.train()
        run = assert_holds_selected_model(tracking, trainer)
        assert run.data.tags["gradiend.imported"] == "true"
        assert set(history(tracking, run, "train/loss")) == {1, 2, 3, 4}
        assert len(children_of(tracking, run)) == 2


class TestModels:
    """`log_models`."""

    def test_by_default_no_weights_are_uploaded(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """Top-k sets are enough."""
        gradiend_mlflow.autolog(topk=10)
        make_trainer().train()
        assert "model" not in {item.path for item in tracking.list_artifacts(only_run(tracking).info.run_id)}

    def test_the_checkpoint(self, make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
        """`True`: what is downloaded again ranks the same."""
        gradiend_mlflow.autolog(topk=10, log_models=True)
        trainer = make_trainer()
        trainer.train()
        gradiend_mlflow.flush()
        address = f"runs:/{only_run(tracking).info.run_id}/model/gradiend"
        folder = mlflow.artifacts.download_artifacts(address, dst_path=str(tmp_path))
        assert TopKSet.from_checkpoint(folder, topk=50) == TopKSet.from_checkpoint(trainer.model_path, topk=50)

    def test_an_external_model(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """`"external"`: registered, linked to the run, and the weights stay where they are."""
        trainer = make_trainer()
        with start_run(trainer, topk=10, log_models="external") as callback:
            trainer.train(callbacks=[callback])
        run = tracking.get_run(callback.run_id)
        (output,) = run.outputs.model_outputs
        model = tracking.get_logged_model(output.model_id)
        assert model.source_run_id == callback.run_id
        assert str(model.status) == "READY"
        assert model.tags["mlflow.model.isExternal"] == "true"
        assert model.tags["gradiend.directory"] == trainer.model_path
        assert "model" not in {item.path for item in tracking.list_artifacts(callback.run_id)}


def test_only_rank_0_logs(
    make_trainer: MakeTrainer,
    tracking: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under `torchrun` every process trains; the others log nothing, in whatever way, and say nothing."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    gradiend_mlflow.autolog(topk=10)
    with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
        make_trainer().train()
        make_trainer().train(callbacks=[MLflowCallback()])
        trainer = make_trainer()
        with start_run(trainer) as callback:
            trainer.train(callbacks=[callback])
        assert callback.run_id is None
    assert tracking.search_runs(["0"]) == []
    assert warned(caplog) == []
    monkeypatch.setenv("RANK", "0")
    make_trainer().train()
    assert len(search_runs()) == 1


def test_a_rank_without_torchrun_is_reported(
    make_trainer: MakeTrainer,
    tracking: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A RANK that a job array has left disables logging, and a warning says so and what to do."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    gradiend_mlflow.autolog(topk=10)
    with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
        make_trainer().train()
    (warning,) = warned(caplog)
    assert "RANK=3" in warning
    assert "unset it" in warning
    assert tracking.search_runs(["0"]) == []
