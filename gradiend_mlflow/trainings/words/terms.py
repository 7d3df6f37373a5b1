"""gradiend's data in MLflow's terms: params and metrics. Pure functions of gradiend's own data."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.store import tags

# gradiend's names in the seed report's topk_stability, and ours.
_STABILITY = {
    "mean_pairwise_overlap_fraction": "seeds/topk_overlap_mean",
    "min_pairwise_overlap_fraction": "seeds/topk_overlap_min",
    "max_pairwise_overlap_fraction": "seeds/topk_overlap_max",
    "intersection_size": "seeds/topk_intersection",
    "union_size": "seeds/topk_union",
}
_PLACES = ("experiment_dir", "output_dir")
_SEED_SCORES = ("training_score", "eval_correlation", "selection_score")
_ENCODER_SCALARS = ("correlation", "accuracy")
_DECODER_SCALARS = ("value", "learning_rate", "feature_factor", "lms", "base_lms")
# MLflow accepts these characters in keys; "/" is left out because it makes groups there.
_KEY_CHARACTERS = re.compile(r"[^\w. :-]")
_KEY_LENGTH = 120


def key_of(name: object) -> str:
    """`name` as one component of an MLflow key: unchanged if MLflow accepts it, else changed and marked with a hash.

    Example:
        >>> key_of("3SG"), key_of("he>she") == key_of("he<she")
        ('3SG', False)
    """
    text = str(name)
    kept = _KEY_CHARACTERS.sub("_", text)[:_KEY_LENGTH]
    if kept == text and kept.strip(". "):
        return kept
    return f"{kept}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def params_of(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The training arguments, flattened with dots: `pre_prune_config.topk`.

    Where a training lies is no param but the tag `gradiend.directory`: it differs between any two runs, so that
    comparing their params would show nothing else first.

    Example:
        >>> params_of({"seed": 0, "pre_prune_config": {"topk": 0.1}})
        {'seed': '0', 'pre_prune_config.topk': '0.1'}
    """
    params: dict[str, str] = {}
    for name, value in arguments.items():
        if not prefix and name in _PLACES:
            continue
        key = prefix + key_of(name)
        if isinstance(value, Mapping) and value:
            params |= params_of(value, prefix=f"{key}.")
        else:
            params[key] = str(value)
    return params


def version_tags() -> dict[str, str]:
    """The versions of gradiend and of this package that make a run."""
    return {
        tags.GRADIEND_VERSION: installed_version("gradiend"),
        tags.PLUGIN_VERSION: installed_version("gradiend-mlflow"),
    }


# --------------------------------------------------------------------------------------------------- of the training


@dataclass(frozen=True)
class Outcome:
    """What a finished training came to; None where gradiend does not say."""

    converged: bool | None = None
    correlation: float | None = None
    loss: float | None = None
    step: int | None = None

    def metrics(self) -> dict[str, float]:
        """The logged model's own figures, by metric key."""
        return _measured(
            {tags.BEST_CORRELATION: self.correlation, tags.BEST_LOSS: self.loss, tags.BEST_STEP: self.step}
        )

    def run_tags(self) -> dict[str, str]:
        """The convergence tag, if convergence is known."""
        return {} if self.converged is None else {tags.CONVERGED: "true" if self.converged else "false"}


def is_stitched(training_file: Mapping[str, Any]) -> bool:
    """Whether the model was put together from components of several seeds, so that no seed is the one of it."""
    statistics = training_file.get("training_stats") or {}
    if not statistics.get("synthetic_component_stitching"):
        return False
    sources = statistics.get("selected_component_sources")
    rows = sources.values() if isinstance(sources, Mapping) else ()
    return len({str(row.get("source_seed")) for row in rows if isinstance(row, Mapping)}) != 1


def _best_step(best: Mapping[str, Any]) -> int | None:
    """The step of the model, unless its components are of several steps."""
    of_components = best.get("component_best_steps")
    several = isinstance(of_components, Mapping) and len({str(step) for step in of_components.values()}) > 1
    step = best.get("global_step")
    return None if step is None or several else int(step)


def outcome_of(training_file: Mapping[str, Any]) -> Outcome:
    """What a training file says of the model that it lies beside."""
    best = training_file.get("best_score_checkpoint") or {}
    correlation = best.get("correlation")
    # Without evaluations gradiend writes the initial value of its running correlation.
    evaluated = bool((training_file.get("training_stats") or {}).get("scores"))
    convergence = training_file.get("convergence_info") or {}
    # Of several seeds gradiend writes True without a check unless it was told how many have to converge.
    several = int((training_file.get("training_args") or {}).get("max_seeds") or 1) > 1
    is_checked = not several or bool(convergence.get("min_convergent_seeds"))
    return Outcome(
        converged=convergence.get("converged") if is_checked else None,
        correlation=correlation if evaluated else None,
        # gradiend adds a loss to the correlation that it selects by; only where it has none, the loss is the score.
        loss=best.get("loss") if correlation is None else None,
        step=_best_step(best),
    )


def step_metrics(step: int, loss: float | None, training_stats: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one step, by key: what gradiend has recorded for it by the time its callbacks have run.

    Args:
        step: The step; 0 is the evaluation before training.
        loss: Its loss, or None where it has none (step 0).
        training_stats: gradiend's statistics, live (steps are ints) or from a training file (steps are strings).
    """

    def at_step(name: str) -> Any:
        by_step = training_stats.get(name)
        return by_step.get(step, by_step.get(str(step))) if isinstance(by_step, Mapping) else None

    values = {
        "train/loss": loss,
        "train/encoder_norm": at_step("encoder_norms"),
        "train/decoder_norm": at_step("decoder_norms"),
        "eval/correlation": at_step("scores"),
    }
    means = at_step("mean_by_feature_class")
    if isinstance(means, Mapping):
        values |= {f"eval/mean/{key_of(name)}": mean for name, mean in means.items()}
    # A loss that is NaN or infinite says that the training has diverged, and when.
    return {key: float(value) for key, value in values.items() if is_number(value)}


def history(training_file: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps and their metrics, ascending, from a training file: as `step_metrics` returned them live."""
    losses = training_file.get("losses") or []
    stats = training_file.get("training_stats") or {}
    steps = {int(step) for step in stats.get("scores") or {}} | set(range(1, len(losses) + 1))
    for step in sorted(steps):
        yield step, step_metrics(step, losses[step - 1] if 0 < step <= len(losses) else None, stats)


def seed_metrics(entry: Mapping[str, Any]) -> dict[str, float]:
    """The scores of one seed from its entry in gradiend's seed report."""
    return _measured({f"seed/{name}": entry.get(name) for name in _SEED_SCORES})


def report_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """How many seeds were tried and converged, and how far their top-k sets agree, from gradiend's seed report."""
    if not report:
        return {}
    stability = report.get("topk_stability") or {}
    return _measured(
        {
            "seeds/tried": len(report.get("seeds_tried") or []),
            "seeds/convergent": report.get("convergent_count"),
            "seeds/best_selection_score": report.get("best_selection_score"),
            **{key: stability.get(name) for name, key in _STABILITY.items()},
        }
    )


# ---------------------------------------------------------------------------------------------------- of evaluations


def encoder_metrics(result: Mapping[str, Any], split: str) -> dict[str, float]:
    """The figures of `evaluate_encoder`: of all rows, of groups of them, and the mean of each class.

    Args:
        result: What it returned, or the content of the JSON file that it wrote.
        split: The split or splits that were evaluated, as gradiend names them in its files.

    Example:
        >>> encoder_metrics({"correlation": 0.9, "mean_by_feature_class": {"3SG": 0.5}}, "test")
        {'eval/test/correlation': 0.9, 'eval/test/mean/3SG': 0.5}
    """
    values = {name: result.get(name) for name in (*_ENCODER_SCALARS, "n_samples")}
    for rows in ("all_data", "training_only", "target_classes_only"):
        values |= {f"{rows}/{name}": (result.get(rows) or {}).get(name) for name in _ENCODER_SCALARS}
    means = result.get("mean_by_feature_class") or {}
    values |= {f"mean/{key_of(name)}": mean for name, mean in means.items()}
    return _measured({f"eval/{key_of(split)}/{name}": value for name, value in values.items()})


def decoder_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `evaluate_decoder`: for each class the best of its grid, and where it was found.

    Example:
        >>> decoder_metrics({"3SG": {"value": 0.6, "learning_rate": 0.1, "lms": 0.9}, "grid": {}})
        {'eval/decoder/3SG/value': 0.6, 'eval/decoder/3SG/learning_rate': 0.1, 'eval/decoder/3SG/lms': 0.9}
    """
    return _measured(
        {
            f"eval/decoder/{key_of(name)}/{scalar}": summary.get(scalar)
            for name, summary in result.items()
            if isinstance(summary, Mapping) and "value" in summary
            for scalar in _DECODER_SCALARS
        }
    )


def _measured(values: Mapping[str, Any]) -> dict[str, float]:
    """Those of the values that say how good something is: numbers, and not NaN."""
    numbers = {key: float(value) for key, value in values.items() if is_number(value)}
    return {key: number for key, number in numbers.items() if not math.isnan(number)}


def is_number(value: Any) -> bool:
    """Whether MLflow can store `value` as a metric: NaN and infinity too, no Boolean, no string."""
    if isinstance(value, (bool, str)) or value is None:
        return False
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):  # torch raises a RuntimeError for a tensor of several values
        return False
    return True
