"""The code on the pages runs, block after block, as one who follows a page would run it."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from gradiend.comparison.seed_policy import models_for_comparison
from matplotlib.figure import Figure
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import TopKSet
from quickstart import PRONOUNS, build_base_model, pronoun_trainer
from tests.support.trainings import MakeTrainer, only_run

ROOT = Path(__file__).parents[1]
PAIRS = (("3SG", "3PL"), ("1SG", "1PL"), ("1SG", "3SG"), ("1PL", "3PL"))


def follow(page: str, names: dict[str, Any], *, instead: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a page's blocks of Python with the names that its reader has; returns these and what the page defines."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for written, tried in (instead or {}).items():
        assert written in text
        text = text.replace(written, tried)
    known = {"gradiend_mlflow": gradiend_mlflow, "mlflow": mlflow, "pd": pd, "matplotlib": mpl} | names
    with mpl.rc_context():
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL), start=1):
            exec(compile(block, f"{page}, block {number}", "exec"), known)
    return known


def test_the_readme(make_trainer: MakeTrainer) -> None:
    """Trains, compares, draws and tests."""
    trainers = [make_trainer(*pair) for pair in PAIRS[:3]]
    groups = {"3SG_3PL": "number", "1SG_1PL": "number", "1SG_3SG": "person"}
    known = follow("README.md", {"trainers": trainers, "groups": groups})
    assert list(known["comparison"].matrix) == [trainer.run_id for trainer in trainers]
    assert Path("overlap.pdf").read_bytes().startswith(b"%PDF")


def test_from_gradiends_plots(make_trainer: MakeTrainer) -> None:
    """Gradiend's own calls and ours, with the same checkpoints."""
    gradiend_mlflow.autolog(experiment_name="pronouns")
    models = {}
    for pair in PAIRS[:2]:
        trainer = make_trainer(*pair)
        trainer.train()
        models[trainer.run_id] = models_for_comparison(trainer, gradiend_only=True)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gradiend's, of its own figures
        known = follow("docs/from-gradiend.md", {"models": models})
    assert list(known["comparison"].matrix) == list(models)


def sets_of(labels: list[str], *, k: int = 1000) -> dict[str, TopKSet]:
    """Sets that share more the more their labels do."""
    rng = np.random.default_rng(0)
    common = {word: rng.choice(100_000, k // 2, replace=False) for word in {label.split()[0] for label in labels}}
    made = {}
    for label in labels:
        own = rng.choice(100_000, k, replace=False)
        indices = list(dict.fromkeys([*common[label.split()[0]].tolist(), *own.tolist()]))[:k]
        made[label] = TopKSet.from_indices(indices, space=100_000)
    return made


@pytest.mark.long
def test_the_gallery(tmp_path: Path) -> None:
    """Every figure, of runs in three groups."""
    labels = [f"{feature} {language}" for feature in ("gender", "number", "tense") for language in ("de", "en", "fr")]
    follow(
        "docs/gallery.md",
        {
            "sets": sets_of(labels),
            "correlation": dict.fromkeys(labels, 0.9),
            "converged": dict.fromkeys(labels, True),
            "ax": Figure().subplots(),
        },
    )


@pytest.mark.long
def test_tracking(make_trainer: MakeTrainer) -> None:
    """Blocks, models, steps and imports."""
    options = {"experiment_dir": Path("runs"), "max_seeds": 1}
    first = make_trainer(**options)
    with mlflow.start_run() as run:
        pass
    instead = {"step=100": "step=2"}  # these trainings have four
    known = follow("docs/track.md", {"trainer": first, "run_id": run.info.run_id}, instead=instead)
    assert Path("stability.pdf").read_bytes().startswith(b"%PDF")
    assert len(known["encoder"].predict(pd.DataFrame({"text": ["[MASK] is happy ."], "label": ["he"]}))) == 1
    assert len(known["frame"]) == 1


@pytest.mark.long
def test_comparing(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """Trainings of two seeds each, in two cases and a control."""
    gradiend_mlflow.autolog(experiment_name="pronouns")
    tracking.create_experiment("articles")
    cases = ("Nom", "Nom", "Dat", "other")
    for pair, case in zip(PAIRS, cases, strict=True):
        seeds = {"max_seeds": 2, "min_convergent_seeds": None, "saved_seed_runs": "all_tried"}
        trainer = make_trainer(*pair, learning_rate=0.001, **seeds)
        with gradiend_mlflow.start_run(trainer, experiment_name="pronouns") as callback:
            trainer.train(callbacks=[callback])
            tracking.log_param(callback.run_id, "case", case)
    gradiend_mlflow.flush()
    mlflow.set_experiment("pronouns")
    other = gradiend_mlflow.compare(topk=500, value="jaccard", log=False)
    known = follow("docs/compare.md", {"other": other, "ax": Figure().subplots()})
    assert len(known["comparison"].matrix) == len(PAIRS)
    assert Path("overlap.pdf").read_bytes().startswith(b"%PDF")


def numbers_of(text: str) -> list[float]:
    """The numbers with two digits in a printed table, in its order."""
    return [float(number) for number in re.findall(r"\b\d\.\d\d\b", text)]


@pytest.mark.long
@pytest.mark.usefixtures("tracking")
def test_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The quickstart's trainings give the tables that the page shows, as far as another processor rounds alike."""
    base_model = build_base_model(tmp_path / "base_model")
    arguments = {"experiment_dir": "runs", "learning_rate": 1e-3, "max_steps": 30, "eval_steps": 10}
    arguments |= {"train_batch_size": 8, "encoder_eval_max_size": 20}
    pairs = list(itertools.combinations(PRONOUNS, 2))
    trainers = [pronoun_trainer(base_model, pair, **arguments) for pair in pairs]
    known = follow("docs/start.md", {"trainers": trainers})
    shown = re.findall(r"```text\n(.*?)```", (ROOT / "docs/start.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    expected = numbers_of("".join(shown))
    assert len(expected) > len(pairs) ** 2
    printed = capsys.readouterr().out
    assert numbers_of(printed[printed.index("1SG_1PL  1SG_3SG") :]) == pytest.approx(expected, abs=0.03)
    assert list(known["comparison"].matrix) == ["_".join(pair) for pair in pairs]
    assert Path("overlap.pdf").read_bytes().startswith(b"%PDF")
    assert "1SG" in Path("overlap.tex").read_text()


def test_a_set_by_other_means_and_its_parts(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """A set is read without this package, its digest is what the page computes, and parts compare as runs do."""
    gradiend_mlflow.autolog(topk=1000)
    make_trainer(*PAIRS[0]).train()
    gradiend_mlflow.flush()
    run = only_run(tracking)
    path = "gradiend/topk/decoder-weight.parquet"
    file = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path))
    os.chdir(file.parent)
    table = pq.read_table(file)
    metadata = pq.read_metadata(file).metadata
    names = list(json.loads(metadata[b"gradiend_mlflow.space"])["names"])
    known = follow(
        "docs/artifact-format.md",
        {"hashlib": hashlib, "np": np, "metadata": metadata, "table": table, "names": names},
    )
    assert known["digest"].hexdigest() == metadata[b"gradiend_mlflow.sha256"].decode()
    known = follow("docs/measures.md", {"run_id": run.info.run_id})
    assert sorted(known["overlap"].labels) == sorted(gradiend_mlflow.PARTS)
