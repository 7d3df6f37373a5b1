"""What the lab's people run: only environment variables say that MLflow is elsewhere, and who they are.

python -m shared_server.client train 3SG 3PL
python -m shared_server.client compare
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

from gradiend import TextPredictionTrainer, TrainingArguments
from transformers.utils.logging import disable_progress_bar

import gradiend_mlflow
from quickstart import build_base_model, pronoun_sentences

EXPERIMENT = "pronouns"


def train(*pair: str) -> None:
    """Train a tiny GRADIEND, which becomes a run on the server by itself."""
    gradiend_mlflow.autolog(experiment_name=EXPERIMENT)
    with tempfile.TemporaryDirectory() as folder:
        TextPredictionTrainer(
            model=build_base_model(Path(folder) / "base_model", hidden_size=32, layers=1),
            run_id="_".join(pair),
            data={name: pronoun_sentences(name) for name in pair},
            target_classes=list(pair),
            random_state=0,
            args=TrainingArguments(
                experiment_dir=f"{folder}/runs",
                learning_rate=1e-2,
                max_steps=20,
                eval_steps=10,
                train_batch_size=8,
                encoder_eval_max_size=20,
                max_seeds=1,
            ),
        ).train()
        if not gradiend_mlflow.flush():
            sys.exit("the server does not have everything")


def compare() -> None:
    """Compare all trainings, and log the comparison where this account may write: to an experiment of its own."""
    own = f"comparisons of {os.environ['MLFLOW_TRACKING_USERNAME']}"
    comparison = gradiend_mlflow.compare(experiment_names=[EXPERIMENT], topk=1000, log_to=own)
    print(comparison.matrix.map("{:.0%}".format).to_string())
    print(f"\nThe comparison is the run {comparison.run_id} of the experiment {own!r}.")


if __name__ == "__main__":
    logging.getLogger("gradiend").setLevel(logging.WARNING)  # to see what the tracking says
    disable_progress_bar()
    {"train": train, "compare": compare}[sys.argv[1]](*sys.argv[2:])
