"""What gradiend's evaluations of a trained model say, as metrics. Pure functions of gradiend's own results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradiend_mlflow.training import is_number, key_of

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
