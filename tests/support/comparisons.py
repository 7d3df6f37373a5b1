"""Comparisons without runs, as `compare` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow import Comparison, TopKSet, WeightSpace, compute_overlap
from gradiend_mlflow.overlap.seeds import Aggregate, Pairing, SeedOverlap, SeedPolicy
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.anatomy.heads import Heads

SPACE = WeightSpace(
    ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.attention.self.query.weight", "layer.1.key"),
    ((10, 8), (8, 10), (140,)),
)
ANATOMY = Anatomy(
    Heads(query=2, key_value=2), 10, {row: f"token{row}" for row in range(10)} | {4: "[MASK]"}, frozenset({4})
)


def comparison_of(
    n: int,
    k: int = 20,
    stored: int = 60,
    value: Any = "intersection_frac",
    *,
    label: str = "run {}",
    seeds: int | Sequence[int] = 1,
    aggregate: Aggregate | None = None,
    pairing: Pairing = "all_pairs",
    noise: float = 1.0,
    signed: bool = True,
    anatomy: Anatomy = ANATOMY,
    space: WeightSpace = SPACE,
    **options: Any,
) -> Comparison:
    """A comparison of n trainings whose sets overlap; `noise` is how far seeds differ, and trainings differ by 1.

    `seeds` is how many each training has.
    """
    counts = [seeds] * n if isinstance(seeds, int) else list(seeds)
    random = np.random.default_rng(n)
    common, sets, rows = random.normal(size=space.size), {}, []
    for training in range(n):
        name, own = label.format(training), random.normal(size=space.size)
        for seed in range(counts[training]):
            scores = common + own + noise * random.normal(size=space.size) * (counts[training] > 1)
            order = np.argsort(-np.abs(scores))[:stored]
            made = TopKSet.from_indices(order, space=space, importance=np.abs(scores[order]))
            full = name if counts[training] == 1 else f"{name} (seed {seed})"
            sets[full] = replace(made, weights=scores[order, None] if signed else made.weights, anatomy=anatomy)
            rows.append(
                (full, f"{len(rows):032x}", f"{training:032x}", seed, "articles", "bert", (f"class {training}",))
            )
    columns = ["label", "run_id", TRAINING_RUN, "seed", "experiment", "base_model", "target_classes"]
    cut = {name: topk_set.top(k) for name, topk_set in sets.items()}
    overlap = compute_overlap(cut)
    if aggregate is not None:
        ends = list(accumulate(counts))
        members = tuple(tuple(range(end - count, end)) for end, count in zip(ends, counts, strict=True))
        policy = SeedPolicy("all_tried", seed_aggregate=aggregate, seed_pairing_mode=pairing)
        numbers = tuple(row[3] for row in rows)
        labels = tuple(label.format(training) for training in range(n))
        options["seed_overlap"] = SeedOverlap(labels, overlap, members, policy, numbers)
    return Comparison(overlap, cut, sets, pd.DataFrame(rows, columns=columns), "decoder-weight", k, value, **options)
