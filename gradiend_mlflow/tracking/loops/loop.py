"""One training loop: what its config says, what it logs at each step, and which model it selects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.tracking.loops.logged_sets import StepSets
from gradiend_mlflow.tracking.loops.training_data import Reading
from gradiend_mlflow.trainings.directories import CONFIG, modified
from gradiend_mlflow.trainings.words.terms import Outcome, params_of, step_metrics


class LoopConfig:
    """What gradiend's hooks receive as the config of a training loop.

    `output_dir` is where the model goes, empty if the config does not say; `several_seeds` is whether gradiend tries
    several seeds and selects one (`max_seeds` > 1, its default).
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self.output_dir = str(config.get("output_dir") or "")
        self.several_seeds = int(config.get("max_seeds") or 1) > 1
        self.selects_by_loss = bool(config.get("supervised_decoder"))
        self.deletes_models = bool(config.get("delete_models"))

    @property
    def seed(self) -> int | None:
        """The seed of the loop.

        Among several seeds the config keeps the first one; the loop's own is only in its directory's name.
        """
        named = re.fullmatch(r"seed_(-?\d+)", Path(self.output_dir).name)
        if self.several_seeds and named:
            return int(named.group(1))
        seed = self._config.get("seed")
        return None if seed is None else int(seed)

    @property
    def writes_training_file(self) -> bool:
        """Whether gradiend will write params and metrics down; if not, only this package has them."""
        return bool(self._config.get("save_only_best", True)) and not self.deletes_models

    @property
    def changes_model_later(self) -> bool:
        """Whether gradiend prunes or rewrites the model after the loop."""
        return bool(self._config.get("post_prune_config")) or self.deletes_models

    @property
    def experiment_dir(self) -> Path | None:
        """Where the training's results lie, as far as the config says; never a seed's own directory."""
        if not self._config.get("experiment_dir") or not self.output_dir:
            return None
        model = Path(self.output_dir).absolute()
        return model.parents[1] if model.parent.name == "seeds" else model.parent

    @property
    def name(self) -> str:
        """A run's name from where the model goes: gradiend appends `model`, and `seeds/seed_<n>` for seeds."""
        parts = [part for part in Path(self.output_dir).parts if part not in ("model", "seeds", "/", "\\")]
        if not parts:
            return "gradiend"
        return "/".join(parts[-2:]) if parts[-1].startswith("seed_") else parts[-1]

    def params(self) -> dict[str, str]:
        """The training arguments as params."""
        return params_of(self._config)


class TrainingLoop:
    """A training loop under way.

    Args:
        run: The run that it logs to: that of the training, or of one of its seeds.
        config: Its config.
        step_sets: Where the sets of its steps are kept.
        data: The data that it trains on, being read; None if they are not logged.
        keeps_steps: Whether to remember the metrics by step, because gradiend's training file will not hold them.
    """

    def __init__(
        self, run: RunWriter, config: LoopConfig, step_sets: StepSets, data: Reading | None, *, keeps_steps: bool
    ) -> None:
        self.run = run
        self.config = config
        self.step_sets = step_sets
        self.steps: list[tuple[int, Mapping[str, float]]] = []
        self.outcome: Outcome | None = None  # once the loop has ended
        self._data = data
        self._keeps_steps = keeps_steps
        self._last_step = 0
        self._best_step: int | None = None
        self._best_score: float | None = None
        self._best = Path(f"{config.output_dir}_best")
        self._best_before = modified(self._best / CONFIG)

    def log_step(self, step: int, loss: float, training_stats: Mapping[str, Any]) -> None:
        """Queue the metrics of a step."""
        # Step 0 is the evaluation before training, and the last step may come twice; neither has a loss of its own.
        own_loss = loss if step > self._last_step else None
        self._last_step = max(step, self._last_step)
        self._update_best(step, loss if self.config.selects_by_loss else training_stats.get("correlation"))
        values = step_metrics(step, own_loss, training_stats)
        self.run.metrics(step, values)
        if self._keeps_steps:
            self.steps.append((step, values))

    def log_data(self, run: RunWriter) -> None:
        """Log the data that it trains on to a run that has its model, once."""
        if self._data is not None:
            self._data.log_to(run)

    def rank_step(self, step: int, model: Any, training_stats: Mapping[str, Any]) -> None:
        """Keep the set of a step, if the options ask for it.

        Raises:
            CheckpointError: If the model has none.
        """
        evaluated = any(key.startswith("eval/") for key in step_metrics(step, None, training_stats))
        self.step_sets.rank(step, model, evaluated=evaluated)

    def _update_best(self, step: int, score: float | None) -> None:
        """Track which step gradiend takes for the best, by the rule of its `CheckpointCallback`."""
        best = self._best_score
        if score is None:
            return
        if best is None or (score < best if self.config.selects_by_loss else abs(score) > abs(best)):
            self._best_step, self._best_score = step, float(score)

    @property
    def has_best(self) -> bool:
        """Whether `<output_dir>_best` holds the best checkpoint of this loop: written since it began.

        It does if a step after 0 was the best one. If not, the selected model is the last step's.
        """
        return modified(self._best / CONFIG) not in (0, self._best_before)

    @property
    def checkpoint(self) -> Path:
        """The selected checkpoint at the loop's end, which gradiend has not moved yet."""
        return self._best if self.has_best else Path(self.config.output_dir)

    def end(self, training_stats: Mapping[str, Any], *, of_best: bool) -> Outcome:
        """Keep and return the outcome: the figures of the best step, or of the last."""
        step = self._best_step if of_best else self._last_step
        if self.config.selects_by_loss:
            self.outcome = Outcome(loss=self._best_score if of_best else None, step=step)
        else:
            # Not gradiend's running correlation: it begins at -1 and stays there if nothing is evaluated.
            self.outcome = Outcome(correlation=(training_stats.get("scores") or {}).get(step), step=step)
        return self.outcome
