"""What one should know about a comparison before believing its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.wording import some_of


def notes_of(runs: pd.DataFrame, sets: Mapping[str, TopKSet], overlap: Overlap, topk: float) -> tuple[str, ...]:
    """One or two sentences per caveat; empty if there is none."""
    notes = []
    base_models = list(dict.fromkeys(str(topk_set.space.base_model) for topk_set in sets.values()))
    if len(base_models) > 1:
        notes.append(
            f"The base models have {len(base_models)} names: {', '.join(some_of(base_models))}. The shapes of their "
            "common parameters agree, so weights are matched by parameter name and offset."
        )
    if len({topk_set.space.fingerprint for topk_set in sets.values()}) > 1:
        notes.append(
            "The runs select from different parameters. Chance levels count the parameters that both runs of a pair "
            "have."
        )
    selects = overlap.selects.astype(int)
    apart = np.argwhere(np.triu(selects @ selects.T == 0))
    if apart.size:
        pairs = [f"{overlap.labels[a]} and {overlap.labels[b]}" for a, b in apart]
        notes.append(f"No parameter in common, so nothing to share: {'; '.join(some_of(pairs))}.")
    small = [label for label, topk_set in sets.items() if isinstance(topk, int) and len(topk_set) < topk]
    if small:
        notes.append(f"Fewer than {topk:,} inputs, so all of them are compared: {', '.join(some_of(small))}.")
    unconverged = runs.loc[[converged is False for converged in runs["converged"]], "label"].tolist()
    if unconverged:
        notes.append(f"Did not converge: {', '.join(some_of(unconverged))}.")
    return tuple(notes)
