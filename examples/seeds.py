"""How much of an overlap is the seed? Two trainings with three seeds each, compared within and between.

Everything is made here, in about a minute:

    python examples/seeds.py [FOLDER]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import gradiend_mlflow
from quickstart import build_base_model, pronoun_trainer

PAIRS = [("1SG", "3SG"), ("1PL", "3PL")]


def main(folder: Path, *, steps: int = 30, seeds: int = 3) -> gradiend_mlflow.Comparison:
    """Train with several seeds, keep all of them, and ask what two seeds of one training have in common."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    base_model = build_base_model(Path("base_model"))
    gradiend_mlflow.autolog(experiment_name="seeds")
    for pair in PAIRS:
        pronoun_trainer(
            base_model,
            pair,
            experiment_dir="runs",
            learning_rate=1e-3,
            max_steps=steps,
            eval_steps=steps,
            train_batch_size=8,
            encoder_eval_max_size=20,
            max_seeds=seeds,
            min_convergent_seeds=None,  # try all of them
            saved_seed_runs="all_tried",  # and keep their models
        ).train()

    # A row for each training, whose overlap with another is the mean over the pairs of their seeds ...
    comparison = gradiend_mlflow.compare(
        experiment_names="seeds", topk=1000, seeds="all_tried", seed_aggregate="mean", seed_pairing_mode="all_pairs"
    )
    print(comparison.to_frame().to_string(index=False, float_format="{:.3f}".format))
    # ... and what no two trainings can be expected to exceed: the overlap of two seeds of the same one.
    print("\nTwo seeds of one training:")
    print(comparison.ceiling.to_string(float_format="{:.3f}".format))
    return comparison


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "demo_seeds"))
