"""Two trainings at once, read by a third process: whatever MLflow consists of, the same comes out as of a file."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from gradiend_mlflow import compare, load_topk, search_runs
from tests.support.deployments import PAIRS, STUDY, Deployment, Deployments
from tests.support.faults import state

VALUES = ["intersection_frac", "jaccard", "mass_overlap", "cosine_signed", "spearman", "sign_agreement", "rbo"]


@pytest.fixture(scope="session")
def expected(deployments: Deployments) -> dict[str, Any]:
    """What a file says of the study."""
    return said(deployments["sqlite"].uri)


def said(uri: str) -> dict[str, Any]:
    """Everything in its runs, and in comparisons of them."""
    runs = search_runs(STUDY, tracking_uri=uri).sort_values("run_name")
    client = MlflowClient(uri)
    for run_id in runs["run_id"]:
        with suppress(MlflowException):  # there is none
            client.delete_tag(run_id, "gradiend.comparisons")  # another test's
    compared = {value: compare(runs, value=value, topk=20, log=False, tracking_uri=uri) for value in VALUES}
    return {
        "runs": {row.run_name: state(uri, row.run_id) for row in runs.itertuples()},
        "sets": load_topk(runs, topk=50, tracking_uri=uri),
        "matrices": {value: found.matrix for value, found in compared.items()},
    }


def test_everything_is_as_in_a_file(deployment: Deployment, expected: dict[str, Any]) -> None:
    """Params, tags, each step's values, the digest of each file; the sets, their weights, and every matrix."""
    found = said(deployment.uri)
    assert found["runs"] == expected["runs"]
    assert sorted(found["runs"]) == sorted("_".join(pair) for pair in PAIRS)
    for one, other in zip(found["sets"].values(), expected["sets"].values(), strict=True):
        assert (one.base_global_indices() == other.base_global_indices()).all()
        assert (one.weights == other.weights).all()
    for value, matrix in expected["matrices"].items():
        pd.testing.assert_frame_equal(found["matrices"][value], matrix, check_exact=True)


def test_each_set_is_listed_with_its_digest(deployment: Deployment, expected: dict[str, Any]) -> None:
    """The tag that makes a run complete, which was written last."""
    for run in MlflowClient(deployment.uri).search_runs([experiment_id()]):
        if run.data.tags["gradiend.kind"] == "training":
            listed = json.loads(run.data.tags["gradiend.topk"])
            assert listed == json.loads(expected["runs"][run.info.run_name]["tags"]["gradiend.topk"])
            assert all(len(entry["sha256"]) == 64 for entry in listed.values())


@pytest.mark.parametrize(
    "filter_string",
    [
        "tags.`gradiend.base_model` LIKE '%tiny'",
        "params.learning_rate = '0.01'",
        "metrics.`best/correlation` > -2",
        "dataset.name = '3SG'",
        "attributes.run_name = '3SG_3PL'",
    ],
)
def test_filters(deployment: Deployment, deployments: Deployments, filter_string: str) -> None:
    """Every database answers as a file does."""
    found = search_runs(STUDY, filter_string=filter_string)
    expected = search_runs(STUDY, filter_string=filter_string, tracking_uri=deployments["sqlite"].uri)
    assert sorted(found["run_name"]) == sorted(expected["run_name"])
    assert len(found) > 0 or filter_string.startswith("metrics")


def test_the_views_are_there(deployment: Deployment) -> None:
    """Also for two processes that have written them at once, and for an account that made the experiment."""
    tags = MlflowClient(deployment.uri).get_experiment(experiment_id()).tags
    views = [name for name in tags if name.startswith("mlflow.sharedViewState.gradiend-")]
    assert len(views) == 3


def test_the_data_are_named(deployment: Deployment) -> None:
    """One dataset per class and split, of equal digest in runs that share a class's data."""
    runs = MlflowClient(deployment.uri).search_runs([experiment_id()], "attributes.run_name = '3SG_3PL'")
    names = {entry.dataset.name for entry in runs[0].inputs.dataset_inputs}
    assert names == {"3SG", "3PL"}


def experiment_id() -> str:
    """The study's."""
    return str(mlflow.get_experiment_by_name(STUDY).experiment_id)
