"""What tracking costs a loop of short trainings, delivery included: `python -m benchmarks.loops [--quick]`.

Twenty trainings of 2 to 20 steps, in turns without the plugin and with it, into an SQLite database, which is MLflow's
default; with it, the time is taken when all has arrived there. Both leave the same models.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradiend_mlflow
from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from tests.support.trainings import make_trainer_of

_TRAININGS = 20


def run(*, quick: bool) -> Outcome:
    """Time the loop in paired rounds (quick: 1, else 5)."""
    rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        loop = _Loop(Path(folder))
        loop.check({"ours": loop.tracked(), "limit": loop.plain()})  # loads what is loaded once
        processor: dict[str, list[float]] = {}
        seconds = alternate(
            {"ours": loop.tracked, "limit": loop.plain},
            {"ours": rounds, "limit": rounds},
            loop.check,
            processor=processor,
            frozen=False,
        )
    ratios = {"wall": _ratio(seconds), "processor": _ratio(processor)}
    what = f"{_TRAININGS} trainings of 2 to 20 steps, delivered"
    note = (
        f"A loop of {what} takes {ratios['wall']:.2f}x the time of untracked ones and {ratios['processor']:.2f}x "
        f"their processor time (medians over {rounds} paired rounds; the limit is the loop without the plugin)."
    )
    return Outcome(
        [Row(what, "s", seconds, always_full=True), Row("the same, processor time", "s", processor, always_full=True)],
        [note],
        {"ratios": ratios},
    )


def _ratio(samples: Mapping[str, list[float]]) -> float:
    return statistics.median(ours / limit for ours, limit in zip(samples["ours"], samples["limit"], strict=True))


class _Loop:
    """Trainings in a folder."""

    def __init__(self, folder: Path) -> None:
        from quickstart import build_base_model

        self._folder, self._base = folder, str(folder / "base_model")
        build_base_model(folder / "base_model")
        self._turn = 0

    def plain(self) -> list[str]:
        """The loop without the plugin; returns a digest of each model."""
        return self._train()

    def tracked(self) -> list[str]:
        """The loop with it, until all has been delivered."""
        gradiend_mlflow.autolog(experiment_name="loop", tracking_uri=f"sqlite:///{self._folder}/mlflow.db")
        try:
            digests = self._train()
            require(gradiend_mlflow.flush(), "not all was delivered")
        finally:
            gradiend_mlflow.autolog(disable=True)
        return digests

    def _train(self) -> list[str]:
        self._turn += 1
        digests = []
        for number in range(_TRAININGS):
            steps = 2 + number * 18 // (_TRAININGS - 1)
            folder = self._folder / f"{self._turn}" / f"{number}"
            trainer = make_trainer_of(
                self._base, folder, ("3SG", "3PL"), max_steps=steps, eval_steps=max(1, steps // 3)
            )
            trainer.train()
            digests.append(hashlib.sha256(Path(trainer.model_path, "model.safetensors").read_bytes()).hexdigest())
        return digests

    def check(self, results: Mapping[str, Any]) -> None:
        """Whether both loops have left the same models."""
        progress("loops: compared")
        require(results["ours"] == results["limit"], "tracking has changed the result of a training")


if __name__ == "__main__":
    run_and_report("loops", [run])
