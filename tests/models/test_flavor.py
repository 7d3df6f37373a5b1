"""GRADIENDs as MLflow models: logged, found, loaded by MLflow and by this package, asked for encodings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from gradiend.model.model_with_gradiend import ModelWithGradiend
from gradiend.trainer.text.prediction.model_with_gradiend import TextPredictionModelWithGradiend
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.models import Model

import gradiend_mlflow
from gradiend_mlflow import ArtifactError, CheckpointError, InvalidInputError, import_runs
from gradiend_mlflow.models.encoder import Encoder
from tests.support.trainings import MakeTrainer, history, only_run

TEXTS = ["[MASK] am happy near the lake .", "[MASK] are tired near the sea .", "[MASK] is late near the lake ."]
ASKED = pd.DataFrame({"text": TEXTS, "label": ["I", "they", "he"]})


def model_of(client: MlflowClient, run: Run) -> LoggedModel:
    """The one model of a run."""
    (output,) = run.outputs.model_outputs
    return client.get_logged_model(output.model_id)


def encodings(model: ModelWithGradiend) -> list[float]:
    """Gradiend's own."""
    return [model.encode(text, label, return_float=True) for text, label in ASKED.itertuples(index=False)]


def own_encodings(checkpoint: str) -> list[float]:
    """Gradiend's own, of a checkpoint that it loads itself."""
    return encodings(TextPredictionModelWithGradiend.from_pretrained(checkpoint, require_gradiend_model=True))


def predicted(address: str) -> list[float]:
    """What MLflow's pyfunc says."""
    return mlflow.pyfunc.load_model(address).predict(ASKED)["encoding"].tolist()


def test_a_training_logs_its_model(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """With files, signature and requirements, linked to the run's metrics; MLflow and gradiend encode the same."""
    gradiend_mlflow.autolog(topk=10, log_models=True, registered_model_name="pronouns")
    trainer = make_trainer("3SG", "3PL")
    trainer.train()
    gradiend_mlflow.flush()
    run = only_run(tracking)
    logged = model_of(tracking, run)
    assert (logged.name, str(logged.status), logged.model_type) == ("model", "READY", "gradiend")
    assert {metric.key: metric.value for metric in logged.metrics} == {
        key: run.data.metrics[key] for key in ("best/correlation", "best/step") if key in run.data.metrics
    }
    for key in ("best/correlation", "best/step"):
        assert len(history(tracking, run, key)) == 1  # not logged to the run a second time

    (version,) = tracking.search_model_versions("name = 'pronouns'")
    expected = own_encodings(trainer.model_path)
    assert len({round(value, 6) for value in expected}) == 3
    by_run, by_name = f"runs:/{run.info.run_id}/model", f"models:/pronouns/{version.version}"
    tracking.set_registered_model_alias("pronouns", "best", version.version)
    for address in (f"models:/{logged.model_id}", by_run, by_name, "models:/pronouns@best"):
        assert predicted(address) == expected
        assert encodings(gradiend_mlflow.load_model(address)) == expected

    spec = Model.load(f"models:/{logged.model_id}")
    assert spec.signature.inputs.input_names() == ["text", "label"]
    assert spec.flavors["gradiend"]["base_model"] == trainer.base_model_path
    requirements = mlflow.pyfunc.get_model_dependencies(f"models:/{logged.model_id}")
    names = {line.partition("==")[0] for line in Path(requirements).read_text().split()}
    assert names >= {"mlflow", "gradiend", "gradiend-mlflow", "torch", "transformers"}


def test_a_second_training_is_a_second_version(
    make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path
) -> None:
    """Of the same registered model."""
    gradiend_mlflow.autolog(topk=10, log_models="external", registered_model_name="pronouns")
    for name in ("first", "second"):
        make_trainer(experiment_dir=tmp_path / name, max_steps=2 if name == "first" else 4).train()
    gradiend_mlflow.flush()
    versions = tracking.search_model_versions("name = 'pronouns'")
    assert len({version.run_id for version in versions}) == len(versions) == 2


def test_an_import_logs_models_too(make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
    """As if it had been tracked."""
    trainer = make_trainer()
    trainer.train()
    import_runs(trainer.experiment_dir, log_models=True, progress=False)
    run = only_run(tracking)
    assert model_of(tracking, run).metrics[0].value == run.data.metrics[model_of(tracking, run).metrics[0].key]
    assert predicted(f"runs:/{run.info.run_id}/model") == own_encodings(trainer.model_path)


def test_log_model(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """A checkpoint, a trainer or a model in memory; again, it is the same model."""
    trainer = make_trainer()
    trainer.train()
    for model in (trainer.model_path, trainer, trainer.get_model()):
        with mlflow.start_run() as run:
            address = gradiend_mlflow.log_model(model)
        assert gradiend_mlflow.log_model(model, run_id=run.info.run_id) == address
        assert predicted(address) == own_encodings(trainer.model_path)
        assert len(tracking.search_logged_models(["0"], f"source_run_id = '{run.info.run_id}'")) == 1


def test_runs_of_earlier_versions(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """They have the checkpoint as artifacts in `model/`, without an MLmodel."""
    trainer = make_trainer()
    trainer.train()
    with mlflow.start_run() as run:
        mlflow.log_artifacts(trainer.model_path, "model")
    loaded = gradiend_mlflow.load_model(f"runs:/{run.info.run_id}/model")
    assert encodings(loaded) == own_encodings(trainer.model_path)


@pytest.mark.long
def test_what_is_loaded_with_a_pyfunc(
    make_trainer: MakeTrainer, tracking: MlflowClient, run_python: Callable[[str], str]
) -> None:
    """Not the tracking of trainings."""
    trainer = make_trainer()
    trainer.train()
    with mlflow.start_run():
        address = gradiend_mlflow.log_model(trainer)
    said = run_python(
        f"import sys, mlflow, pandas as pd\nmlflow.set_tracking_uri({tracking.tracking_uri!r})\n"
        f"model = mlflow.pyfunc.load_model({address!r})\n"
        "model.predict(pd.DataFrame({'text': ['[MASK] am happy near the lake .'], 'label': ['I']}))\n"
        "print(*[name for name in sys.modules if name.startswith('gradiend_mlflow.')])"
    )
    loaded = set(said.split()[-30:])
    assert "gradiend_mlflow.models.encoder" in loaded
    assert not [name for name in loaded if name.startswith(("gradiend_mlflow.tracking", "gradiend_mlflow.delivery"))]


class TestErrors:
    """What came, what was wanted, what to do."""

    def test_no_run(self, tmp_path: Path, tracking: MlflowClient) -> None:
        """Neither given nor active."""
        with pytest.raises(InvalidInputError, match="log_model needs a run"):
            gradiend_mlflow.log_model(tmp_path)

    def test_no_model(self, tmp_path: Path, tracking: MlflowClient) -> None:
        """Neither a checkpoint nor what is none at all; no model is left behind."""
        with mlflow.start_run():
            with pytest.raises(CheckpointError):
                gradiend_mlflow.log_model(tmp_path)
            with pytest.raises(CheckpointError, match="got int"):
                gradiend_mlflow.log_model(3)
        assert not tracking.search_logged_models(["0"])
        with pytest.raises(ArtifactError, match="is no model of a GRADIEND"):
            gradiend_mlflow.load_model(str(tmp_path))
        with pytest.raises(InvalidInputError, match="got 'file:///etc'"):
            gradiend_mlflow.load_model("file:///etc")

    def test_names_without_models(self) -> None:
        """Nothing would be registered."""
        with pytest.raises(InvalidInputError, match="also give log_models=True"):
            gradiend_mlflow.autolog(registered_model_name="pronouns")

    def test_texts_without_labels(self, make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
        """A text alone has no gradient."""
        trainer = make_trainer()
        trainer.train()
        with mlflow.start_run():
            address = gradiend_mlflow.log_model(trainer)
        with pytest.raises(mlflow.MlflowException, match="label"):
            mlflow.pyfunc.load_model(address).predict(ASKED[["text"]])
        with pytest.raises(InvalidInputError, match="missing: label"):
            Encoder(None).predict(ASKED[["text"]])
