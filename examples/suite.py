"""A suite of gradiend: all pairs of three classes by one call, one run for it in MLflow, its trainings below.

Everything is made here, in half a minute:

    python examples/suite.py [FOLDER]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer.suite import SymmetricTrainerSuite

import gradiend_mlflow
from quickstart import build_base_model, pronoun_sentences

CLASSES = ["1SG", "3SG", "3PL"]


def main(folder: Path, *, steps: int = 30) -> gradiend_mlflow.Comparison:
    """Train the suite, and compare what lies below its run."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    gradiend_mlflow.autolog(experiment_name="suite")
    suite = SymmetricTrainerSuite(
        TextPredictionTrainer,
        model=build_base_model(Path("base_model")),
        data={name: pronoun_sentences(name) for name in CLASSES},
        target_classes=CLASSES,
        run_id="pronouns",
        args=TrainingArguments(
            experiment_dir="runs",
            learning_rate=1e-3,
            max_steps=steps,
            eval_steps=steps,
            train_batch_size=8,
            encoder_eval_max_size=20,
            max_seeds=1,
        ),
    )
    suite.train()
    comparison = gradiend_mlflow.compare(experiment_names="suite", topk=1000)
    print(comparison.matrix.map("{:.0%}".format).to_string())
    # Which layers do they share? A table by layer, in the order of the model.
    print(comparison.by_layer().share().map("{:.0%}".format).to_string())
    return comparison


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "demo_suite"))
