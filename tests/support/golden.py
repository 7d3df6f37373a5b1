"""Makes a folder of `tests/golden/`: what the installed version writes, for later versions to read.

    python -m tests.support.golden tests/golden/0.1.0

Each release adds its folder and never changes an older one. All of it happens in the new directory `/study`, so that
digests and paths in the files say nothing of the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "LOGNAME": "researcher",
    "USER": "researcher",
    "GRADIEND_MLFLOW_CACHE": "off",
}

import mlflow
from gradiend import TextPredictionTrainer, TrainingArguments
from mlflow import MlflowClient

import gradiend_mlflow
from quickstart import PRONOUNS, build_base_model, pronoun_sentences

STUDY = Path("/study")
_NOT_READ = (".png", ".pdf", ".html", ".webp", "preview.csv")  # for people; no version reads them


def trainer(experiment_dir: Path, base_model: str, *pair: str, **options: Any) -> TextPredictionTrainer:
    """A tiny real training of a pair of pronouns."""
    arguments = {"learning_rate": 1e-2, "max_steps": 4, "eval_steps": 2, "train_batch_size": 4, "max_seeds": 1}
    return TextPredictionTrainer(
        model=base_model,
        run_id="_".join(pair),
        data={name: pronoun_sentences(name) for name in PRONOUNS},
        target_classes=list(pair),
        random_state=0,
        args=TrainingArguments(experiment_dir=str(experiment_dir), encoder_eval_max_size=4, **(arguments | options)),
    )


def make(target: Path) -> None:
    """Train, log, compare, and keep what lies in MLflow; train without a server, and keep what waits."""
    work = STUDY
    work.mkdir()
    os.chdir(work)
    base_model = build_base_model(work / "base_model", hidden_size=8, layers=1)
    client = MlflowClient(f"sqlite:///{work}/mlflow.db")
    mlflow.set_tracking_uri(client.tracking_uri)
    _log_runs(work, base_model)
    comparison = gradiend_mlflow.compare(experiment_names="pronouns", topk=100, groups={"3SG_3PL": "third"})
    frame = gradiend_mlflow.search_runs("pronouns", kinds=["training", "seed"])
    for name, run_id in [*zip(frame["run_name"], frame["run_id"], strict=True), ("comparison", comparison.run_id)]:
        _keep_run(client, str(run_id), target / "runs" / str(name).replace("/", "_"))
    comparison.matrix.to_csv(target / "matrix.csv")
    (target / "sets.json").write_text(json.dumps(_sets_in(target / "runs"), indent=1), encoding="utf-8")
    _leave_journal(work, base_model)
    shutil.copytree(work / "waiting", target / "waiting")
    for file in [*(target / "waiting").rglob("*")]:
        if file.name in ("lock", "encoded_values.json"):
            file.unlink()
    shutil.rmtree(work)


def _log_runs(work: Path, base_model: str) -> None:
    gradiend_mlflow.autolog(topk=500, experiment_name="pronouns")
    trainer(work / "runs", base_model, "3SG", "3PL").train()
    trainer(work / "runs", base_model, "1SG", "1PL", max_seeds=2, min_convergent_seeds=2).train()
    gradiend_mlflow.autolog(disable=True)
    gradiend_mlflow.flush()


def _keep_run(client: MlflowClient, run_id: str, folder: Path) -> None:
    run = client.get_run(run_id)
    client.download_artifacts(run_id, "", str(_made(folder / "artifacts")))
    for file in (folder / "artifacts").rglob("*"):
        if file.is_file() and file.name.endswith(_NOT_READ):
            file.unlink()
    keys = sorted(run.data.metrics)
    metrics = {key: [[p.step, p.value, p.timestamp] for p in client.get_metric_history(run_id, key)] for key in keys}
    described = {
        "run_id": run_id,
        "run_name": run.info.run_name,
        "status": run.info.status,
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "tags": {key: value for key, value in sorted(run.data.tags.items()) if not key.startswith("mlflow.source")},
        "params": dict(sorted(run.data.params.items())),
        "metrics": metrics,
    }
    (folder / "run.json").write_text(json.dumps(described, indent=1), encoding="utf-8")


def _sets_in(folder: Path) -> dict[str, Any]:
    """What each file of a set says, in plain values."""
    found = {}
    for file in sorted(folder.rglob("*.parquet")):
        topk_set = gradiend_mlflow.load_topk_file(file)
        found[file.relative_to(folder).as_posix()] = {
            "part": topk_set.part,
            "topk": topk_set.topk,
            "k": len(topk_set),
            "input_dim": topk_set.input_dim,
            "latent_dim": topk_set.latent_dim,
            "base_model": topk_set.space.base_model,
            "fingerprint": topk_set.space.fingerprint,
            "base_global_indices": topk_set.base_global_indices().tolist(),
            "first_importances": topk_set.importance[:5].tolist(),
            "first_weights": topk_set.weights[:5].tolist(),
        }
    return found


def _leave_journal(work: Path, base_model: str) -> None:
    """A training whose server is not there; the next is of a model from gradiend's cache, recorded from disk."""
    for _ in range(2):
        gradiend_mlflow.autolog(
            topk=200,
            experiment_name="waiting",
            tracking_uri="http://127.0.0.1:9",
            deadline=0,
            log_models="external",
            extra_tags={"study": "golden"},
        )
        trainer(work / "waiting", base_model, "1SG", "3SG", use_cache=True).train()
        gradiend_mlflow.autolog(disable=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.argv[0] = "study.py"  # MLflow notes the script
    make(Path(sys.argv[1]).absolute())
    os._exit(0)  # the journal is to be left, not sent
