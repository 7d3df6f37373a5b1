"""Checkpoints of earlier gradiends are ranked as the versions that wrote them rank, imported and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

import gradiend_mlflow

CHECKPOINTS = Path(__file__).with_name("checkpoints")
VERSIONS = sorted(path.name for path in CHECKPOINTS.iterdir())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("part", gradiend_mlflow.PARTS)
def test_sets_are_those_of_the_version(version: str, part: str) -> None:
    """The same 50 weights, and the same importances to the last bit, from indices and masks."""
    theirs = json.loads((CHECKPOINTS / version / "ranking.json").read_text(encoding="utf-8"))[part]
    ours = gradiend_mlflow.TopKSet.from_checkpoint(CHECKPOINTS / version, part=part, topk=50)
    assert sorted(ours.base_global_indices().tolist()) == sorted(theirs["indices"])
    np.testing.assert_array_equal(ours.importance, np.float32(theirs["importances"]))
    assert {"mapping_indices.safetensors", "mapping_masks.safetensors"} <= {
        file.name for file in (CHECKPOINTS / version).iterdir()
    }


def test_versions_are_imported_and_compared_with_each_other(tmp_path: Path, tracking: MlflowClient) -> None:
    """Each as a training of its own, with the curve that its training file has."""
    for version in VERSIONS:
        shutil.copytree(CHECKPOINTS / version, tmp_path / version / "model")
    frame = gradiend_mlflow.import_runs(tmp_path, progress=False)
    assert frame["result"].tolist() == ["imported"] * len(VERSIONS), frame["reason"].tolist()
    runs = gradiend_mlflow.search_runs(["Default"])
    assert runs["base_model"].tolist() == ["/study/base"] * len(VERSIONS)
    matrix = gradiend_mlflow.compare(runs, topk=50, labels=None, log=False).matrix
    assert (matrix.to_numpy() > 0).all()
