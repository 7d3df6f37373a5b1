"""Saved views of an experiment's run list."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow.store import store as store_module
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.store.ui.views import COMPARISONS, SEEDS, TRAININGS, VIEWS, View
from tests.support.proxy import Proxy
from tests.support.trainings import MakeTrainer

_PREFIX = "mlflow.sharedViewState."
_LONGEST_IN_OLD_SERVERS = 5000


def tags_of(client: MlflowClient, name: str) -> dict[str, str]:
    """The tags of an experiment."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return dict(experiment.tags)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process that has not seen the experiment yet."""
    monkeypatch.setattr(store_module, "_with_views", set())


def test_an_experiment_gets_three_views(make_trainer: MakeTrainer, tracking: MlflowClient) -> None:
    """By its first training; each is what MLflow's UI reads, in the form of 3.15 and in that of 3.13."""
    gradiend_mlflow.autolog(topk=10, experiment_name="viewed")
    make_trainer(max_seeds=1).train()
    found = tags_of(tracking, "viewed")
    for view in VIEWS:
        text = found[_PREFIX + view.key]
        assert len(text) <= _LONGEST_IN_OLD_SERVERS
        content = json.loads(text)
        assert content["name"] == view.name
        assert isinstance(content["createdAt"], int)
        state = json.loads(content["state"])
        assert state == {key: content[key] for key in state}
        assert state["selectedColumns"] == list(view.columns)


def test_an_import_and_a_comparison_bring_them_too(
    make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path
) -> None:
    """Wherever runs of ours go."""
    for pair in (("3SG", "3PL"), ("1SG", "1PL")):
        make_trainer(*pair, max_seeds=1).train()
    frame = gradiend_mlflow.import_runs(tmp_path / "runs", experiment_name="imported", topk=10, progress=False)
    assert _PREFIX + TRAININGS.key in tags_of(tracking, "imported")
    gradiend_mlflow.compare(list(frame["run_id"]), topk=10, log_to="compared")
    assert _PREFIX + COMPARISONS.key in tags_of(tracking, "compared")


@pytest.mark.long
def test_views_false(make_trainer: MakeTrainer, tracking: MlflowClient, tmp_path: Path) -> None:
    """None are written, by any of them."""
    gradiend_mlflow.autolog(topk=10, experiment_name="bare", views=False)
    for pair in (("3SG", "3PL"), ("1SG", "1PL")):
        make_trainer(*pair, max_seeds=1).train()
    gradiend_mlflow.compare(experiment_names="bare", topk=10, views=False)
    gradiend_mlflow.import_runs(tmp_path / "runs", experiment_name="also", topk=10, progress=False, views=False)
    for name in ("bare", "also"):
        assert set(tags_of(tracking, name)) == {"mlflow.experimentKind"}


@pytest.mark.parametrize("views", ["no", 1, None])
def test_views_is_a_flag(views: object) -> None:
    """Checked where the user can see it."""
    with pytest.raises(gradiend_mlflow.InvalidInputError, match="views must be True or False"):
        gradiend_mlflow.autolog(views=views)  # type: ignore[arg-type]


def test_a_users_views_stay(tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was changed stays so, one that was deleted does not come back, and others are not touched."""
    store = Store()
    experiment_id = store.experiment_id("mine")
    tracking.set_experiment_tag(experiment_id, _PREFIX + "mine", "anything")
    tracking.set_experiment_tag(experiment_id, _PREFIX + TRAININGS.key, "a user's")
    store.add_views(experiment_id)
    tracking.set_experiment_tag(experiment_id, _PREFIX + COMPARISONS.key, "changed")
    tracking.delete_experiment_tag(experiment_id, _PREFIX + SEEDS.key)
    monkeypatch.setattr(store_module, "_with_views", set())
    store.add_views(experiment_id)
    found = tags_of(tracking, "mine")
    assert found[_PREFIX + "mine"] == "anything"
    assert found[_PREFIX + TRAININGS.key] == "a user's"
    assert found[_PREFIX + COMPARISONS.key] == "changed"
    assert _PREFIX + SEEDS.key not in found


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_refuses_costs_nothing(
    server: str, make_trainer: MakeTrainer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The training is logged; only the debug log says that there are no views."""
    proxy = Proxy(server)
    proxy.fault = lambda method, path: status if "set-experiment-tag" in path else None
    try:
        with caplog.at_level(logging.DEBUG, "gradiend_mlflow"):
            gradiend_mlflow.autolog(topk=10, experiment_name=f"refused {status}", tracking_uri=proxy.uri)
            make_trainer(max_seeds=1).train()
            gradiend_mlflow.flush()
        assert len(gradiend_mlflow.search_runs(f"refused {status}", tracking_uri=server)) == 1
    finally:
        proxy.close()
    assert [record for record in caplog.records if "No saved views" in record.message]
    assert not [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("gradiend_mlflow")
    ]


def test_one_request_where_the_views_are_known(server: str) -> None:
    """A process asks once for each experiment."""
    proxy = Proxy(server)
    try:
        store = Store(proxy.uri)
        experiment_id = store.experiment_id("asked once")
        store.add_views(experiment_id)
        before = len(proxy.requests)
        store.add_views(experiment_id)
        Store(proxy.uri).add_views(experiment_id)
        assert len(proxy.requests) == before
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("view", "names"),
    [(TRAININGS, {"training", "stopped training", "suite", "stopped suite"}), (COMPARISONS, {"comparison"})],
)
def test_a_views_filter_is_one_of_mlflows(tracking: MlflowClient, view: View, names: set[str]) -> None:
    """It finds the runs of its kinds; of comparisons those that were not stopped."""
    store = Store()
    experiment_id = store.experiment_id("filtered")
    for kind in ("training", "suite", "seed", "comparison"):
        for name, status in ((kind, "FINISHED"), (f"stopped {kind}", "KILLED")):
            run_id = store.create_run(experiment_id, name=name, run_tags={"gradiend.kind": kind})
            store.end_run(run_id, status)
    store.add_views(experiment_id)
    content = json.loads(tags_of(tracking, "filtered")[_PREFIX + view.key])
    order = f"{content['orderByKey']} {'ASC' if content['orderByAsc'] else 'DESC'}"
    found = tracking.search_runs([experiment_id], content["searchFilter"], order_by=[order])
    assert {run.info.run_name for run in found} == names
