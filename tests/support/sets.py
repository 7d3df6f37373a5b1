"""Sets without trainings: drawn by hypothesis, or logged to a run as they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from mlflow import MlflowClient

from gradiend_mlflow import (
    TopKSet,
    save_topk,
)

LABELS = [f"run {i}" for i in range(12)]
SIZE = 30


@st.composite
def families(draw: st.DrawFn, *, at_most: int = 12) -> dict[str, TopKSet]:
    """Some sets over one space, of any sizes and overlaps."""
    members = st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=SIZE, unique=True)
    lists = draw(st.lists(members, min_size=1, max_size=at_most))
    return {label: TopKSet.from_indices(indices, space=SIZE) for label, indices in zip(LABELS, lists, strict=False)}


def log_set(
    client: MlflowClient, folder: Path, topk_set: TopKSet | None = None, *, experiment_id: str = "0", **tags: str
) -> str:
    """A run with one set in it, made by hand as far as the test wants it otherwise; returns its id."""
    run_id = client.create_run(experiment_id, tags={"gradiend.kind": "training"} | tags).info.run_id
    save_topk(topk_set or TopKSet.from_indices(range(20), space=100), folder / "decoder-weight.parquet")
    client.log_artifact(run_id, str(folder / "decoder-weight.parquet"), "gradiend/topk")
    client.set_terminated(run_id)
    return run_id


def tag_set(client: MlflowClient, run_id: str, **changes: Any) -> None:
    """The tag that lists a run's set, with what the test wants changed."""
    entry = {"path": "gradiend/topk/decoder-weight.parquet", "sha256": "0" * 64, "k": 20} | changes
    client.set_tag(run_id, "gradiend.topk", json.dumps({"decoder-weight": entry}))


def log_training(client: MlflowClient, folder: Path, topk_set: TopKSet, **options: str) -> str:
    """A run with a set that can be pulled; returns its id."""
    run_id = log_set(client, folder, topk_set, **options)
    digest = hashlib.sha256((folder / "decoder-weight.parquet").read_bytes()).hexdigest()
    tag_set(client, run_id, sha256=digest, k=len(topk_set))
    return run_id


@st.composite
def weighted_families(draw: st.DrawFn, *, at_least: int = 1) -> dict[str, TopKSet]:
    """Some sets over one space, of any sizes and overlaps, with importances and signed weights."""
    latent_dim = draw(st.integers(1, 3))
    lists = draw(st.lists(st.permutations(range(SIZE)), min_size=at_least, max_size=8))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    family = {}
    for label, order in zip(LABELS, lists, strict=False):
        k = draw(st.integers(1, SIZE))
        importance = np.sort(random.exponential(size=k))[::-1]
        made = TopKSet.from_indices(order[:k], space=SIZE, importance=importance)
        family[label] = replace(made, weights=random.normal(size=(k, latent_dim)), latent_dim=latent_dim)
    return family


def log_trainings(client: MlflowClient, folder: Path, number: int, *, experiment_id: str = "0") -> list[str]:
    """Runs of trainings with a set of 20 of 100 weights each, of which neighbours share 19; returns their ids."""
    sets = [TopKSet.from_indices(range(first, first + 20), space=100) for first in range(number)]
    return [log_training(client, folder, one, experiment_id=experiment_id) for one in sets]
