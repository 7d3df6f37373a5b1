"""What a GRADIEND training says, in MLflow's terms: params, metrics, tags. Pure functions of gradiend's own data."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.store import tags

LOSS = "train/loss"
ENCODER_NORM = "train/encoder_norm"
DECODER_NORM = "train/decoder_norm"
CORRELATION = "eval/correlation"
CLASS_MEAN = "eval/mean"

# gradiend's name for it in the seed report's topk_stability, and ours.
_STABILITY = {
    "mean_pairwise_overlap_fraction": "seeds/topk_overlap_mean",
    "min_pairwise_overlap_fraction": "seeds/topk_overlap_min",
    "max_pairwise_overlap_fraction": "seeds/topk_overlap_max",
    "intersection_size": "seeds/topk_intersection",
    "union_size": "seeds/topk_union",
}
# MLflow takes these characters in keys; "/" is left out because it makes groups there.
_KEY_CHARACTERS = re.compile(r"[^\w. :-]")
_KEY_LENGTH = 120


@dataclass(frozen=True)
class Outcome:
    """What a finished training came to; None where gradiend does not say."""

    converged: bool | None = None
    correlation: float | None = None
    loss: float | None = None
    step: int | None = None

    def metrics(self) -> dict[str, float]:
        """The logged model's own figures, by metric key."""
        values = {tags.BEST_CORRELATION: self.correlation, tags.BEST_LOSS: self.loss, tags.BEST_STEP: self.step}
        return {key: float(value) for key, value in values.items() if value is not None and is_number(value)}

    def run_tags(self) -> dict[str, str]:
        """The convergence tag, if convergence is known."""
        return {} if self.converged is None else {tags.CONVERGED: "true" if self.converged else "false"}


def key_of(name: object) -> str:
    """`name` as one component of an MLflow key: itself if MLflow takes it, else changed and marked with a hash.

    Example:
        >>> key_of("3SG"), key_of("he>she") == key_of("he<she")
        ('3SG', False)
    """
    text = str(name)
    kept = _KEY_CHARACTERS.sub("_", text)[:_KEY_LENGTH]
    if kept == text and kept.strip(". "):
        return kept
    return f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def params_of(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The training arguments, flattened with dots: `pre_prune_config.topk`.

    Example:
        >>> params_of({"seed": 0, "pre_prune_config": {"topk": 0.1}})
        {'seed': '0', 'pre_prune_config.topk': '0.1'}
    """
    params: dict[str, str] = {}
    for name, value in config.items():
        key = prefix + key_of(name)
        if isinstance(value, Mapping) and value:
            params |= params_of(value, prefix=f"{key}.")
        else:
            params[key] = str(value)
    return params


def step_metrics(step: int, loss: float | None, training_stats: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one step, by key: what gradiend has recorded for it by the time its callbacks are through.

    Args:
        step: The step; 0 is the evaluation before training.
        loss: Its loss, or None where it has none (step 0).
        training_stats: gradiend's statistics, live (steps are ints) or from training.json (steps are strings).
    """
    values: dict[str, Any] = {} if loss is None else {LOSS: loss}
    values[ENCODER_NORM] = _at(training_stats.get("encoder_norms"), step)
    values[DECODER_NORM] = _at(training_stats.get("decoder_norms"), step)
    values[CORRELATION] = _at(training_stats.get("scores"), step)
    means = _at(training_stats.get("mean_by_feature_class"), step)
    if isinstance(means, Mapping):
        values |= {f"{CLASS_MEAN}/{key_of(name)}": mean for name, mean in means.items()}
    # A loss that is NaN or infinite says that the training has diverged, and when.
    return {key: float(value) for key, value in values.items() if is_real(value)}


def history(record: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps and their metrics, ascending, from a training.json: as `step_metrics` gave them live."""
    losses = record.get("losses") or []
    stats = record.get("training_stats") or {}
    steps = {int(step) for step in stats.get("scores") or {}} | set(range(1, len(losses) + 1))
    for step in sorted(steps):
        yield step, step_metrics(step, losses[step - 1] if 0 < step <= len(losses) else None, stats)


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """What a training.json says of the model that it lies beside."""
    best = record.get("best_score_checkpoint") or {}
    convergence = record.get("convergence_info") or {}
    step = best.get("global_step")
    # Without evaluations gradiend writes the value that its running correlation begins with.
    evaluated = bool((record.get("training_stats") or {}).get("scores"))
    return Outcome(
        converged=convergence.get("converged"),
        correlation=best.get("correlation") if evaluated and is_number(best.get("correlation")) else None,
        # gradiend notes a loss beside a correlation that it selects by; only where it has none, the loss is the score.
        loss=best.get("loss") if is_number(best.get("loss")) and best.get("correlation") is None else None,
        step=None if step is None else int(step),
    )


def read_training_file(directory: Path) -> dict[str, Any] | None:
    """The training.json of a model directory, or None if it has none.

    Raises:
        CheckpointError: If it is there and no JSON object.
    """
    file = directory / "training.json"
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{file} should hold a JSON object; it holds a {type(record).__name__}")
    return record


def seed_of(config: Mapping[str, Any]) -> int | None:
    """The seed of the training loop that runs with this config.

    In multi-seed training the config keeps the first seed; the loop's own is only in its directory's name.
    """
    named = re.fullmatch(r"seed_(-?\d+)", Path(str(config.get("output_dir") or "")).name)
    if is_multi_seed(config) and named:
        return int(named.group(1))
    seed = config.get("seed")
    return None if seed is None else int(seed)


def is_multi_seed(config: Mapping[str, Any]) -> bool:
    """Whether gradiend tries several seeds and selects one (`max_seeds` > 1, its default)."""
    return int(config.get("max_seeds") or 1) > 1


def seed_metrics(entry: Mapping[str, Any]) -> dict[str, float]:
    """The scores of one seed from its entry in gradiend's seed report."""
    scores = ("training_score", "eval_correlation", "selection_score")
    return {f"seed/{name}": float(entry[name]) for name in scores if is_number(entry.get(name))}


def report_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """How many seeds were tried and converged, and how far their top-k sets agree, from gradiend's seed report."""
    if not report:
        return {}
    values: dict[str, Any] = {
        "seeds/tried": len(report.get("seeds_tried") or []),
        "seeds/convergent": report.get("convergent_count"),
        "seeds/best_selection_score": report.get("best_selection_score"),
    }
    stability = report.get("topk_stability") or {}
    for name, key in _STABILITY.items():
        values[key] = stability.get(name)
    return {key: float(value) for key, value in values.items() if is_number(value)}


def trainer_tags(trainer: Any) -> dict[str, str]:
    """What a trainer is about: its run_id, base model and target classes, as far as it says."""
    try:
        base_model = trainer.base_model_path
    except ValueError:  # a model object without a name
        base_model = None
    found = {
        tags.RUN_ID: trainer.run_id,
        tags.BASE_MODEL: base_model,
        tags.TARGET_CLASSES: json.dumps(list(trainer.target_classes)) if trainer.target_classes else None,
    }
    return {key: str(value) for key, value in found.items() if value is not None}


def suite_tags(suite: Any) -> dict[str, str]:
    """What a TrainerSuite or TrainerCollection is about; its directory is the one that its trainers' share."""
    trainers = list(suite.trainers.values())
    base_models = {trainer_tags(trainer).get(tags.BASE_MODEL) for trainer in trainers}
    parents = {Path(trainer.experiment_dir).resolve().parent for trainer in trainers if trainer.experiment_dir}
    directory = parents.pop() if len(parents) == 1 else None
    found = {
        tags.RUN_ID: getattr(suite, "run_id", None) or (directory.name if directory else None),
        tags.BASE_MODEL: base_models.pop() if len(base_models) == 1 else None,
        tags.DIRECTORY: directory,
    }
    return {key: str(value) for key, value in found.items() if value}


def version_tags() -> dict[str, str]:
    """The versions that made a run."""
    return {
        tags.GRADIEND_VERSION: installed_version("gradiend"),
        tags.PLUGIN_VERSION: installed_version("gradiend-mlflow"),
    }


def _at(by_step: Any, step: int) -> Any:
    if not isinstance(by_step, Mapping):
        return None
    return by_step.get(step, by_step.get(str(step)))


def is_number(value: Any) -> bool:
    """Whether `value` says how good something is: not NaN, no truth value, no text."""
    return is_real(value) and not math.isnan(float(value))


def is_real(value: Any) -> bool:
    """Whether MLflow can take `value` as a metric: NaN and infinity too, no truth value, no text."""
    if isinstance(value, (bool, str)) or value is None:
        return False
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):  # torch's word for a tensor of several values
        return False
    return True


_ENCODER_SCALARS = ("correlation", "accuracy")
_DECODER_SCALARS = ("value", "learning_rate", "feature_factor", "lms", "base_lms")


def encoder_metrics(result: Mapping[str, Any], split: str) -> dict[str, float]:
    """The figures of `evaluate_encoder`: of all rows, of groups of them, and the mean of each class.

    Args:
        result: What it returned, or the JSON file that it wrote.
        split: The split or splits that were evaluated, as gradiend names them in its files.

    Example:
        >>> encoder_metrics({"correlation": 0.9, "mean_by_feature_class": {"3SG": 0.5}}, "test")
        {'eval/test/correlation': 0.9, 'eval/test/mean/3SG': 0.5}
    """
    values: dict[str, Any] = {name: result.get(name) for name in (*_ENCODER_SCALARS, "n_samples")}
    for group in ("all_data", "training_only", "target_classes_only"):
        for name in _ENCODER_SCALARS:
            values[f"{group}/{name}"] = (result.get(group) or {}).get(name)
    for name, mean in (result.get("mean_by_feature_class") or {}).items():
        values[f"mean/{key_of(name)}"] = mean
    return {f"eval/{key_of(split)}/{name}": float(value) for name, value in values.items() if is_number(value)}


def decoder_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `evaluate_decoder`: for each class the best of its grid, and where it was found.

    Example:
        >>> decoder_metrics({"3SG": {"value": 0.6, "learning_rate": 0.1, "lms": 0.9}, "grid": {}})
        {'eval/decoder/3SG/value': 0.6, 'eval/decoder/3SG/learning_rate': 0.1, 'eval/decoder/3SG/lms': 0.9}
    """
    return {
        f"eval/decoder/{key_of(name)}/{scalar}": float(summary[scalar])
        for name, summary in result.items()
        if isinstance(summary, Mapping) and "value" in summary
        for scalar in _DECODER_SCALARS
        if is_number(summary.get(scalar))
    }
