"""Which runs are compared, and what is said of the others: three experiments on a real server."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient

from gradiend_mlflow import InvalidInputError, SkippedRunsError, TopKSet, WeightSpace, compare, save_topk
from tests.support.checkpoints import make_model

EXPERIMENTS = ["whole", "half", "broken"]
WHOLE = [("layer.0.query", (6, 4), "all"), ("layer.0.key", (8, 4), "all"), ("layer.1.query", (6, 4), "all")]
HALF = [("layer.1.query", (6, 4), "all"), ("layer.0.query", (6, 4), "all")]


@dataclass(frozen=True)
class World:
    """What is on the server."""

    sets: dict[str, TopKSet]
    broken: dict[str, tuple[str, str]]  # by name: run id, what the reason says


def log(client: MlflowClient, experiment: str, name: str, topk_set: TopKSet, folder: Path) -> str:
    """A finished run with a set; returns its id."""
    run_id = client.create_run(experiment, run_name=name, tags={"gradiend.kind": "training"}).info.run_id
    file = folder / "decoder-weight.parquet"
    save_topk(topk_set, file)
    client.log_artifact(run_id, str(file), "gradiend/topk")
    entry = {
        "path": "gradiend/topk/decoder-weight.parquet",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "k": len(topk_set),
    }
    client.log_param(run_id, "seed", str(len(name)))
    client.set_tag(run_id, "gradiend.topk", json.dumps({"decoder-weight": entry}))
    client.set_terminated(run_id)
    return run_id


@pytest.fixture(scope="module")
def world(server: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Whole and half selections, pruned and not, under two names of one base model; and one run of every fault."""
    folder = tmp_path_factory.mktemp("world")
    client = MlflowClient(tracking_uri=server)
    whole, half, broken = (client.create_experiment(name) for name in EXPERIMENTS)
    there = TopKSet.from_model(make_model(HALF, seed=3), topk=20)
    sets = {
        "a": TopKSet.from_model(make_model(WHOLE, seed=0)),
        "b": TopKSet.from_model(make_model(WHOLE, seed=1).prune(topk=30)),
        "c": TopKSet.from_model(make_model(HALF, seed=2)),
        "d": replace(there, space=replace(there.space, base_model="/elsewhere/tiny-bert")),
    }
    for name, topk_set in sets.items():
        log(client, whole if name in "ab" else half, name, topk_set, folder)
    faults = {name: log(client, broken, name, sets["a"], folder) for name in ("RUNNING", "FAILED")}
    client.update_run(faults["RUNNING"], status="RUNNING")
    client.set_terminated(faults["FAILED"], "FAILED")
    faults["changed"] = log(client, broken, "changed", sets["a"].top(40), folder)
    save_topk(sets["b"], folder / "decoder-weight.parquet")
    client.log_artifact(faults["changed"], str(folder / "decoder-weight.parquet"), "gradiend/topk")
    faults["small"] = log(client, broken, "small", sets["a"].top(5), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradiend_mlflow.sets.artifact.FORMAT_VERSION", 3)
        faults["newer"] = log(client, broken, "newer", sets["a"], folder)
    faults["empty"] = client.create_run(broken, run_name="empty", tags={"gradiend.kind": "training"}).info.run_id
    client.set_terminated(faults["empty"])
    reasons = {
        "RUNNING": "it is RUNNING, so its sets may still change",
        "FAILED": "it is FAILED, not FINISHED",
        "changed": "is not the file that was logged: its SHA-256 is",
        "small": "topk=10 means 10 of 80 weights, but only the top 5 were kept",
        "newer": "it has the format version 3; this package reads versions 1 to 2",
        "empty": "it has no set of the part 'decoder-weight' (it has: none)",
    }
    return World(sets, {name: (faults[name], reason) for name, reason in reasons.items()})


def identities(topk_set: TopKSet, k: int) -> set[tuple[str, int]]:
    """The first weights of a set by parameter name and offset."""
    frame = topk_set.top(k).to_frame()
    return set(zip(frame["param"], frame["offset"], strict=True))


def test_the_right_matrix_and_the_right_skipped(world: World, server: str) -> None:
    """Every run that can be compared is, by identity; every other is named, with its reason, also in MLflow."""
    compared = compare(experiment_names=EXPERIMENTS, topk=10, tracking_uri=server)
    assert compared.matrix.index.tolist() == list(world.sets)
    for (i, a), (j, b) in itertools.product(enumerate(world.sets.values()), repeat=2):
        assert compared.overlap.intersection[i, j] == len(identities(a, 10) & identities(b, 10))
    assert {run.name: run.run_id for run in compared.skipped} == {
        name: run_id for name, (run_id, _) in world.broken.items()
    }
    for run in compared.skipped:
        assert world.broken[run.name][1] in run.reason
    logged = MlflowClient(tracking_uri=server).get_run(compared.run_id)
    note = logged.data.tags["mlflow.note.content"]
    assert "**Skipped**, 6 of the runs asked for; comparison.json has the full reasons:" in note
    for run_id, _ in world.broken.values():
        assert run_id in note


def test_chance_levels_use_the_common_space(world: World, server: str) -> None:
    """80 weights, of which the half selection has 48; pruning does not lower the number."""
    compared = compare(experiment_names=EXPERIMENTS, topk=10, log=False, tracking_uri=server)
    population = compared.overlap.chance().to_frame("population")
    assert compared.chance().to_frame("population").equals(population)
    assert population.loc["a", "b"] == 80
    assert population.loc["a", "c"] == population.loc["c", "d"] == 48
    drawn = sum(param != "layer.0.key" for param, _ in identities(world.sets["a"], 10))
    assert compared.overlap.chance().expected[0, 2] == pytest.approx(drawn * 10 / 48)


def test_a_deleted_run_is_not_compared(world: World, server: str, caplog: pytest.LogCaptureFixture) -> None:
    """Asked for by its id it is named, also in a warning; experiment ids may be numbers."""
    client = MlflowClient(tracking_uri=server)
    frame = compare(experiment_names=EXPERIMENTS, topk=10, log=False, tracking_uri=server).runs
    gone = frame["run_id"][0]
    client.delete_run(gone)
    try:
        with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
            compared = compare(frame["run_id"].tolist(), topk=10, log=False, tracking_uri=server)
    finally:
        client.restore_run(gone)
    assert [(run.run_id, run.reason) for run in compared.skipped] == [(gone, "it is DELETED, not FINISHED")]
    assert "Of 4 runs asked for, 1 cannot be compared; comparison.skipped says why: a" in caplog.text
    by_number = compare(experiment_ids=int(frame["experiment_id"][0]), topk=10, log=False, tracking_uri=server)
    assert by_number.matrix.index.tolist() == ["a", "b"]


def test_a_set_that_has_no_more_inputs_is_noted(world: World, server: str) -> None:
    """It is compared with all that it has; the number that was asked for is not its own."""
    compared = compare(experiment_names=EXPERIMENTS[:1], topk=50, log=False, tracking_uri=server)
    assert any(note.startswith("Fewer than 50 inputs") and note.endswith(": b.") for note in compared.notes)


def test_groups_of_parameters_are_by_identity(world: World, server: str) -> None:
    """A layer's overlap over different selections; by every way to group."""
    compared = compare(experiment_names=EXPERIMENTS, topk=10, log=False, tracking_uri=server)
    layer = compared.by_layer().overlaps["layer_1"]
    for (i, a), (j, b) in itertools.product(enumerate(world.sets.values()), repeat=2):
        in_layer = [{weight for weight in identities(x, 10) if weight[0] == "layer.1.query"} for x in (a, b)]
        assert layer.intersection[i, j] == len(in_layer[0] & in_layer[1])
    assert set(compared.by_component().groups) == {"attention_query", "attention_key"}
    assert compared.by_group({}).groups == ("other",)
    np.testing.assert_allclose(compared.by_param().share().sum(), 1)


def test_what_one_should_know_is_noted(world: World, server: str) -> None:
    """Base models of two names, and different selections; in the description too."""
    compared = compare(experiment_names=EXPERIMENTS, topk=10, tracking_uri=server)
    assert compared.notes == (
        (
            "The base models have 2 names: tiny-bert, /elsewhere/tiny-bert. The shapes of their common parameters "
            "agree, so weights are matched by parameter name and offset."
        ),
        "The runs select from different parameters. Chance levels count the parameters that both runs of a pair have.",
    )
    note = MlflowClient(tracking_uri=server).get_run(compared.run_id).data.tags["mlflow.note.content"]
    assert "* The base models have 2 names: tiny-bert, /elsewhere/tiny-bert." in note


def test_strict_raises_instead(world: World, server: str) -> None:
    """With every run and its reason."""
    with pytest.raises(SkippedRunsError, match="6 of 10 runs cannot be compared:") as caught:
        compare(experiment_names=EXPERIMENTS, topk=10, strict=True, tracking_uri=server)
    for name, (run_id, reason) in world.broken.items():
        assert f"{name} ({run_id}): " in str(caught.value)
        assert reason in str(caught.value)
    assert (
        compare(experiment_names=EXPERIMENTS[:2], topk=10, strict=True, log=False, tracking_uri=server).skipped == ()
    )


def test_too_few_runs_are_an_error_with_reasons(world: World, server: str) -> None:
    """The error tells why the others cannot."""
    with pytest.raises(
        InvalidInputError, match=r"(?s)found 0: none\. Searched: 'broken' of MLflow at .*Skipped:.*RUNNING"
    ) as caught:
        compare(experiment_names="broken", topk=10, tracking_uri=server)
    assert str(caught.value).count("\n  ") == 6


def test_ids_frames_and_searches_skip_alike(world: World, server: str) -> None:
    """However the runs are given."""
    found = compare(experiment_names=EXPERIMENTS, topk=10, log=False, tracking_uri=server)
    ids = [*found.runs["run_id"], *(run_id for run_id, _ in world.broken.values())]
    by_id = compare(ids, topk=10, log=False, tracking_uri=server)
    assert {run.run_id for run in by_id.skipped} == {run.run_id for run in found.skipped}
    np.testing.assert_array_equal(by_id.matrix, found.matrix)
    everywhere = compare(
        search_all_experiments=True, filter_string="params.seed = '1'", topk=10, log=False, tracking_uri=server
    )
    assert everywhere.matrix.index.tolist() == list("abcd")


def test_a_search_asks_no_more_because_runs_are_skipped(
    world: World, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request for the experiments, one search, one per set that is worth pulling."""
    requested: list[str] = []
    send, lock = requests.Session.send, threading.Lock()

    def counted(self: requests.Session, request: Any, **options: Any) -> Any:
        with lock:
            requested.append(request.url)
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", counted)
    compare(experiment_names=EXPERIMENTS, topk=10, log=False, tracking_uri=server)
    assert sum("runs/search" in url for url in requested) == 1
    assert sum(url.endswith(".parquet") for url in requested) == 7
    assert len(requested) == 1 + 1 + 7


def test_labels_and_groups_by_param_tag_and_mapping(world: World, server: str) -> None:
    """`params.` and `tags.` columns; clashes are told apart; a run without the param is named."""
    asked = {"experiment_names": EXPERIMENTS[:2], "topk": 10, "log": False, "tracking_uri": server}
    labelled = compare(labels="params.seed", groups="experiment", **asked)
    assert list(labelled.matrix.index) == ["1 (whole) (a)", "1 (whole) (b)", "1 (half) (c)", "1 (half) (d)"]
    assert list(labelled.groups.values()) == ["whole", "whole", "half", "half"]
    assert compare(labels="tags.mlflow.runName", **asked).matrix.index.tolist() == list("abcd")
    grouped = compare(groups={"x": ["b", "d"], "y": ["a"]}, **asked)
    assert grouped.groups == {"b": "x", "d": "x", "a": "y", "c": "Other"}
    by_id = compare(groups={labelled.runs["run_id"][0]: "first"}, **asked)
    assert by_id.groups == {"a": "first", "b": "Other", "c": "Other", "d": "Other"}
    series = pd.Series(["one", "two"], index=labelled.runs["run_id"][:2])
    told = compare(labelled.runs["run_id"][:2], labels=series, groups=series, topk=10, log=False, tracking_uri=server)
    assert told.groups == {"one": "one", "two": "two"}
    with pytest.raises(InvalidInputError, match="'Other' is what runs are called that are in no group"):
        compare(groups={"a": "Other", "b": "x"}, **asked)
    with pytest.raises(InvalidInputError, match=r"labels names 'params.lr', which the run \w+ does not have"):
        compare(labels="params.lr", **asked)
    for groups, message in (
        ({"nobody": "x"}, "groups names nobody; the runs are: a, b, c, d"),
        ({"x": ["a"], "y": ["a"]}, "a run may be in one group; 'a' is in 'x' and 'y'"),
        ({"x": ["a"], "y": 3}, "must name a list of labels per group, or a group, a string, per label; got 3 for 'y'"),
        ("color", "groups names the column 'color'"),
        (3, "groups must be a column or a mapping"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            compare(groups=groups, **asked)


def test_mappings_name_runs_by_any_of_their_names(world: World, server: str) -> None:
    """MLflow's run ids, gradiend's run_ids, the labels that they have; a run that none of them names is told."""
    client = MlflowClient(tracking_uri=server)
    asked = {"experiment_names": EXPERIMENTS[:2], "topk": 10, "log": False, "tracking_uri": server}
    a, b, c, d = compare(**asked).runs["run_id"]
    for run_id in (a, b):
        client.set_tag(run_id, "gradiend.run_id", "pronouns")
    try:
        named = {"pronouns": "she", c: "it", "d": "they", "nobody": "else"}
        labelled = compare(labels=named, **asked)
        assert labelled.matrix.index.tolist() == ["she (a)", "she (b)", "it", "they"]
        grouped = compare(groups={"pronouns": "x", c: "y", "d": "y"}, **asked)
        assert list(grouped.groups.values()) == ["x", "x", "y", "y"]
        by_group = compare(groups={"x": ["pronouns"], "y": [c, "d"]}, **asked)
        assert by_group.groups == grouped.groups
        test = by_group.test_groups(strata={"pronouns": "s", c: "s", "d": "s"})
        assert test.p_value == by_group.test_groups().p_value
        with pytest.raises(InvalidInputError, match=rf"no entry for the run {d}; its key may be '{d}' or 'd'"):
            compare(labels={"pronouns": "she", c: "it"}, **asked)
        with pytest.raises(InvalidInputError, match=rf"'pronouns \(a\)' by two keys that differ: 'pronouns' .* '{a}'"):
            compare(groups={"pronouns": "x", a: "y"}, **asked)
    finally:
        for run_id in (a, b):
            client.delete_tag(run_id, "gradiend.run_id")


def test_what_many_have_in_common_is_said_once(world: World, server: str) -> None:
    """Three runs without such a part: one reason, with their names."""
    asked = {"part": "encoder-weight", "topk": 10, "log": False, "tracking_uri": server}
    with pytest.raises(InvalidInputError, match="found 0: none") as caught:
        compare(experiment_names=EXPERIMENTS[:2], **asked)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert [f"{name} (" in lines[-1] for name in "abcd"] == [True] * 4
    assert lines[-1].count("it has no set of the part 'encoder-weight'") == 1


def test_runs_without_a_common_parameter_are_noted(tracking: MlflowClient, tmp_path: Path) -> None:
    """Their overlap is zero whatever they learnt."""
    for name in ("query", "key"):
        space = WeightSpace((name,), ((20,),))
        log(tracking, "0", name, TopKSet.from_indices(range(9), space=space), tmp_path)
    compared = compare(topk=5, log=False)
    assert compared.overlap.intersection.tolist() == [[5, 0], [0, 5]]
    assert compared.notes[-1] == "No parameter in common, so nothing to share: query and key."
