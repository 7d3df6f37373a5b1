"""Sets of steps and their overlap with the final set, read from runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from gradiend_mlflow import ArtifactError, InvalidInputError, StoreError, TopKSet, load_stability, load_topk, save_topk

SET = TopKSet.from_indices([4, 2, 7], space=10)


def log_steps(client: MlflowClient, folder: Path, steps: dict[int, float], name: str = "run", **tag: Any) -> str:
    """A run whose sets of steps were logged by hand; returns its id."""
    run_id = client.create_run("0", tags={"mlflow.runName": name}).info.run_id
    digests = {}
    for step, value in steps.items():
        file = folder / f"{step}.parquet"
        save_topk(SET, file)
        digests[str(step)] = hashlib.sha256(file.read_bytes()).hexdigest()
        client.log_artifact(run_id, str(file), "gradiend/topk/steps")
        client.log_metric(run_id, "topk/overlap_with_final", value, step=step)
    listed = {"part": "decoder-weight", "k": 3, "sha256": digests} | tag
    client.set_tag(run_id, "gradiend.topk_steps", json.dumps(listed))
    return run_id


def test_a_set_of_a_step_is_pulled_and_cached(tracking: MlflowClient, tmp_path: Path) -> None:
    """As any other; steps that several runs have are pulled at once."""
    first, second = (log_steps(tracking, tmp_path, {0: 0.1, 20: 1.0}) for _ in range(2))
    assert load_topk([first, second], step=20, topk=2) == {first: SET.top(2), second: SET.top(2)}
    for file in (tmp_path / "mlflow").rglob("20.parquet"):
        file.unlink()
    assert load_topk([first], step=np.int64(20), topk=3) == {first: SET}


def test_what_is_not_there_is_named(tracking: MlflowClient, tmp_path: Path) -> None:
    """The steps that there are, the part that they are of, and why there may be none; how many weights there are."""
    run_id, other = log_steps(tracking, tmp_path, {0: 0.1, 20: 1.0}), tracking.create_run("0").info.run_id
    with pytest.raises(InvalidInputError, match="of a step holds, which are 1,000 at most: pass topk=3 or"):
        load_topk([run_id], step=20, topk=5)
    with pytest.raises(StoreError, match="it has no set of step 5: it has those of 0, 20"):
        load_topk([run_id], step=5)
    with pytest.raises(StoreError, match="its sets of steps are of 'decoder-weight', not of encoder-weight"):
        load_topk([run_id], step=20, part="encoder-weight")
    with pytest.raises(StoreError, match="no set of step 5: it was logged without topk_steps"):
        load_topk([other], step=5)
    for step in (-1, True, 1.5, "5"):
        with pytest.raises(InvalidInputError, match="step must be an int of at least 0"):
            load_topk([run_id], step=step)


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ({"sha256": {"../20": "0" * 64}}, r"a step must be a number; got '\.\./20'"),
        ({"sha256": {"020": "0" * 64}}, "a step must be a number; got '020'"),
        ({"sha256": {"20": "../secret"}}, "sha256 must be 64 hexadecimal digits"),
        ({"sha256": [1]}, "sha256"),
        ({"k": 0}, "k must be"),
        ({"part": 5}, "part must be"),
    ],
)
def test_a_damaged_tag_is_named(tag: dict[str, Any], message: str, tracking: MlflowClient, tmp_path: Path) -> None:
    """It decides neither which files are fetched nor how much of them."""
    run_id = log_steps(tracking, tmp_path, {20: 1.0}, **tag)
    with pytest.raises(ArtifactError, match=rf"gradiend.topk_steps cannot be read: .*{message}"):
        load_topk([run_id], step=20)


def test_another_file_is_not_believed(tracking: MlflowClient, tmp_path: Path) -> None:
    """Its content has another digest than the run has promised."""
    run_id = log_steps(tracking, tmp_path, {20: 1.0}, sha256={"20": "0" * 64})
    with pytest.raises(ArtifactError, match="is not the file that was logged"):
        load_topk([run_id], step=20)


def test_curves_by_run(tracking: MlflowClient, tmp_path: Path) -> None:
    """A column each, called so that they can be told apart; steps ascend, and what is missing is missing."""
    first = log_steps(tracking, tmp_path, {20: 1.0, 0: 0.1}, "pronouns")
    second, third = (log_steps(tracking, tmp_path, {10: 0.5}, "articles") for _ in range(2))
    curves = load_stability([first, second, third])
    names = ["pronouns", f"articles {second[:8]}", f"articles {third[:8]}"]
    expected = pd.DataFrame([[0.1, np.nan, np.nan], [np.nan, 0.5, 0.5], [1.0, np.nan, np.nan]], [0, 10, 20], names)
    pd.testing.assert_frame_equal(curves, expected.rename_axis("step"))


def test_runs_without_a_curve_are_named(tracking: MlflowClient, tmp_path: Path) -> None:
    """And values that are no shares."""
    good, odd = log_steps(tracking, tmp_path, {0: 0.1}), log_steps(tracking, tmp_path, {0: 1.5})
    none = tracking.create_run("0").info.run_id
    with pytest.raises(StoreError, match=r"(?s)1 of 2 runs have no metric topk/overlap_with_final.*" + none):
        load_stability([good, none])
    with pytest.raises(ArtifactError, match=r"it has the value 1.5, which is no share"):
        load_stability([odd])
