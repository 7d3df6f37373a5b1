"""What one should know of a comparison before believing its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.wording import some_of


def notes_of(runs: pd.DataFrame, sets: Mapping[str, TopKSet], overlap: Overlap, topk: float) -> tuple[str, ...]:
    """One sentence each; none if there is nothing to say."""
    notes = []
    base_models = list(dict.fromkeys(str(topk_set.space.base_model) for topk_set in sets.values()))
    if len(base_models) > 1:
        notes.append(
            f"The base models have {len(base_models)} names: {', '.join(some_of(base_models))}. The shapes of their "
            "common parameters agree, so weights are matched by parameter name and offset."
        )
    spaces = {topk_set.space.fingerprint for topk_set in sets.values()}
    if len(spaces) > 1:
        notes.append(
            "The runs select from different parameters. Chance levels count the parameters that both runs of a pair "
            "have."
        )
        apart = _without_common_parameter(overlap)
        if apart:
            notes.append(f"No parameter in common, so nothing to share: {'; '.join(some_of(apart))}.")
    small = [label for label, topk_set in sets.items() if isinstance(topk, int) and len(topk_set) < topk]
    if small:
        notes.append(f"Have no {topk:,} inputs, so all that they have are compared: {', '.join(some_of(small))}.")
    unconverged = [
        label for label, converged in zip(runs["label"], runs["converged"], strict=True) if converged is False
    ]
    if unconverged:
        notes.append(f"Did not converge: {', '.join(some_of(unconverged))}.")
    return tuple(notes)


def _without_common_parameter(overlap: Overlap) -> list[str]:
    has = overlap.selects.astype(int)
    common = has @ has.T
    n = len(overlap.labels)
    return [
        f"{overlap.labels[i]} and {overlap.labels[j]}" for i in range(n) for j in range(i + 1, n) if not common[i, j]
    ]
