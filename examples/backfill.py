"""Trainings from before there was this package: imported as runs, each once, and compared with new ones.

Everything is made here, in half a minute:

    python examples/backfill.py [FOLDER]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gradiend_mlflow
from quickstart import build_base_model, pronoun_trainer

OLD, NEW = [("1SG", "3SG"), ("1PL", "3PL")], [("1SG", "1PL")]


def main(folder: Path, *, steps: int = 30) -> gradiend_mlflow.Comparison:
    """Train without tracking, import, train with tracking, compare across the two experiments."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    base_model = build_base_model(Path("base_model"))
    arguments = {"learning_rate": 1e-3, "max_steps": steps, "train_batch_size": 8, "max_seeds": 1}
    for pair in OLD:
        pronoun_trainer(base_model, pair, experiment_dir="old", **arguments).train()

    for attempt in ("first", "second"):
        imported = gradiend_mlflow.import_runs("old", experiment_name="from disk")
        print(f"{attempt} import:\n{imported.to_string(index=False)}\n")

    gradiend_mlflow.autolog(experiment_name="tracked")
    for pair in NEW:
        pronoun_trainer(base_model, pair, experiment_dir="new", **arguments).train()

    comparison = gradiend_mlflow.compare(
        experiment_names=["from disk", "tracked"],
        filter_string="params.learning_rate = '0.001'",  # any filter of MLflow over params, metrics and tags
        topk=1000,
        groups="experiment",
        log_to="old and new",
    )
    print(comparison.matrix.map("{:.0%}".format).to_string())
    print(comparison.to_frame("groups").to_string(index=False))
    return comparison


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "demo_backfill"))
