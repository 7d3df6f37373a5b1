"""Finding runs and pulling sets, against a real server with real trainings on it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient

from gradiend_mlflow import (
    PARTS,
    ArtifactError,
    InvalidInputError,
    StoreError,
    TopKSet,
    compare,
    load_topk,
    search_runs,
)
from gradiend_mlflow.runs.search import complete_frame
from gradiend_mlflow.store.store import Store
from tests.support.sets import log_set, tag_set


class TestSearchRuns:
    """`search_runs`."""

    def test_one_row_per_training(self, logged: dict[str, Path], server: str) -> None:
        """Oldest first, with everything that a comparison asks of a run."""
        frame = search_runs(["pronouns"], tracking_uri=server)
        assert frame["gradiend_run_id"].tolist() == frame["run_name"].tolist() == list(logged)
        assert frame["target_classes"].tolist() == [("3SG", "3PL"), ("1SG", "1PL"), ("1SG", "3SG")]
        assert set(frame["experiment"]) == {"pronouns"}
        assert set(frame["parts"]) == {PARTS}
        assert set(frame["k"]) == {2000}
        assert set(frame["seed"]) == {0}
        assert set(frame["status"]) == {"FINISHED"}
        assert frame["correlation"].between(-1, 1).all()
        assert frame["converged"].isin([True, False]).all()
        assert frame["start_time"].is_monotonic_increasing
        assert str(frame["start_time"].dt.tz) == "UTC"
        for row in frame.to_dict("records"):
            record = json.loads((logged[row["run_name"]] / "training.json").read_text())
            assert row["correlation"] == record["best_score_checkpoint"]["correlation"]
            assert row["converged"] is record["convergence_info"]["converged"]

    def test_filters_order_and_limit_are_mlflows(self, logged: dict[str, Path], server: str) -> None:
        """MLflow's own filter and order clauses are added to ours."""
        found = search_runs("pronouns", filter_string="tags.`gradiend.run_id` LIKE '1SG%'", tracking_uri=server)
        assert found["run_name"].tolist() == ["1SG_1PL", "1SG_3SG"]
        newest = search_runs("pronouns", order_by=["attributes.start_time DESC"], max_results=2, tracking_uri=server)
        assert newest["run_name"].tolist() == ["1SG_3SG", "1SG_1PL"]

    def test_runs_without_sets_are_no_rows(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Whatever else is in the experiment."""
        tracking.create_run("0")
        tracking.create_run("0", tags={"gradiend.kind": "training"})
        tracking.create_run("0", tags={"gradiend.kind": "comparison"})
        complete = log_set(tracking, tmp_path)
        tag_set(tracking, complete)
        assert search_runs()["run_id"].tolist() == [complete]
        assert search_runs(complete=False)["k"].tolist() == [0, 20]
        both = search_runs(kinds=["training", "comparison"])
        assert both["k"].tolist() == [20, 0]
        assert len(search_runs(kinds=["training", "comparison"], max_results=1)) == 1

    def test_by_id_and_everywhere(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Experiment ids, and all experiments at once."""
        run_id = log_set(tracking, tmp_path)
        tag_set(tracking, run_id)
        other = tracking.create_experiment("other")
        assert search_runs(experiment_ids=[other]).empty
        assert search_runs(experiment_ids=[other, "0"])["run_id"].tolist() == [run_id]
        assert search_runs(search_all_experiments=True)["run_id"].tolist() == [run_id]
        assert list(search_runs(experiment_ids=[other]).columns) == list(search_runs().columns)

    def test_more_runs_than_a_page(self, tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Paging loses none."""
        monkeypatch.setattr("gradiend_mlflow.store.reader._RUNS_PER_PAGE", 3)
        made = {tracking.create_run("0", tags={"gradiend.kind": "training"}).info.run_id for _ in range(8)}
        for run_id in made:
            tag_set(tracking, run_id)
        assert set(search_runs()["run_id"]) == made
        assert len(search_runs(max_results=4)) == 4

    def test_an_unknown_experiment_is_an_error(self, logged: dict[str, Path], server: str) -> None:
        """MLflow would only warn; ours names the nearest that exist."""
        with pytest.raises(
            StoreError, match=r"has no experiment with the name 'pronoun'. It has(, among \d+)?: 'pronouns'"
        ):
            search_runs(["pronoun"], tracking_uri=server)
        with pytest.raises(StoreError, match="no experiment with the id '999'"):
            search_runs(experiment_ids=["999"], tracking_uri=server)

    def test_runs_in_any_form(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """A generator of ids, and a frame that was written to a CSV file, which keeps texts only."""
        ids = [tracking.create_run("0", tags={"gradiend.kind": "training"}).info.run_id for _ in range(2)]
        for run_id in ids:
            tag_set(tracking, run_id)
        frame = search_runs()
        frame.to_csv(tmp_path / "runs.csv", index=False)
        for runs in ((run_id for run_id in ids), pd.read_csv(tmp_path / "runs.csv")):
            assert complete_frame(runs)["sets"].tolist() == frame["sets"].tolist()
        with pytest.raises(InvalidInputError, match="must be a sequence of run ids or a frame; got the int 5"):
            complete_frame(5)

    def test_many_that_fail_are_counted(self, tracking: MlflowClient) -> None:
        """The first are named, a line each, and so is the number of the others."""
        with pytest.raises(StoreError) as caught:
            complete_frame([f"{number:032x}" for number in range(25)])
        lines = str(caught.value).splitlines()
        assert lines[0] == "25 of 25 runs could not be found:"
        assert lines[20].startswith(f"  run {19:032x}: ")
        assert lines[21:] == ["  and 5 more"]

    def test_bad_questions(self) -> None:
        """Contradictions, unknown kinds, filters that MLflow refuses."""
        with pytest.raises(InvalidInputError, match="not both"):
            search_runs(["a"], search_all_experiments=True)
        with pytest.raises(
            InvalidInputError, match=r"kinds must name some of training, seed, comparison; got \['run'\]"
        ):
            search_runs(kinds=["run"])
        with pytest.raises(StoreError, match=r"search for runs with the filter.*nonsense"):
            search_runs(filter_string="nonsense")


class TestLoadTopk:
    """`load_topk`."""

    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("topk", [100, 0.01])
    def test_what_is_read_back_is_what_was_trained(
        self, part: str, topk: float, logged: dict[str, Path], server: str
    ) -> None:
        """By frame and by run ids, every part, numbers and fractions."""
        frame = search_runs(["pronouns"], tracking_uri=server)
        sets = load_topk(frame, part=part, topk=topk, tracking_uri=server)
        assert list(sets) == frame["run_id"].tolist()
        for row in frame.to_dict("records"):
            assert sets[row["run_id"]] == TopKSet.from_checkpoint(logged[row["run_name"]], part=part, topk=topk)
        assert load_topk(list(frame["run_id"]), part=part, topk=topk, tracking_uri=server) == sets
        called = load_topk(frame, part=part, topk=topk, labels=None, tracking_uri=server)
        assert list(called) == list(frame["gradiend_run_id"])
        assert list(called.values()) == list(sets.values())

    def test_one_request_per_set(self, logged: dict[str, Path], server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the frame of a search, nothing else is asked of the server."""
        frame = search_runs(["pronouns"], tracking_uri=server)
        requested: list[str] = []
        send, lock = requests.Session.send, threading.Lock()

        def counted(self: requests.Session, request: Any, **options: Any) -> Any:
            with lock:
                requested.append(request.url)
            return send(self, request, **options)

        monkeypatch.setattr(requests.Session, "send", counted)
        load_topk(frame, tracking_uri=server)
        requested = [url for url in requested if url.startswith(server)]  # a worker of another test may still retry
        assert len(requested) == len(frame)
        assert all(url.endswith("gradiend/topk/decoder-weight.parquet") for url in requested)

    def test_every_failing_run_is_named(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """One error for all: changed files, missing parts, missing files."""
        changed, without, gone = (log_set(tracking, tmp_path) for _ in range(3))
        tag_set(tracking, changed)
        tag_set(tracking, gone, path="gradiend/topk/other.parquet")
        with pytest.raises(ArtifactError, match="3 of 3 runs have no usable set") as caught:
            load_topk([changed, without, gone], topk=3)
        message = str(caught.value)
        assert f"run {changed}: gradiend/topk/decoder-weight.parquet is not the file that was logged" in message
        assert f"run {without}: it has no set of the part 'decoder-weight' (it has: none). Compare another" in message
        assert f"run {gone}: could not download gradiend/topk/other.parquet" in message

    def test_more_than_was_logged(self, logged: dict[str, Path], server: str) -> None:
        """Names the runs and says how to log more."""
        frame = search_runs(["pronouns"], tracking_uri=server)
        with pytest.raises(InvalidInputError, match=r"(?s)3 of 3 runs.*only the top 2000 were kept"):
            load_topk(frame.head(3), topk=2001, tracking_uri=server)

    @pytest.mark.parametrize(
        "path", ["../../secret.parquet", "/etc/passwd", "gradiend/topk/../../x.parquet", "file:///x"]
    )
    def test_paths_outside_the_sets_folder_are_not_fetched(
        self, path: str, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """A server cannot point a client at other files."""
        run_id = log_set(tracking, tmp_path)
        tag_set(tracking, run_id, path=path)
        with pytest.raises(ArtifactError, match="names a path that is not a set's"):
            load_topk([run_id], topk=3)

    def test_damaged_tags_are_no_sets(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Whatever somebody wrote there."""
        run_id = log_set(
            tracking, tmp_path, **{"gradiend.topk": '{"decoder-weight": 5}', "gradiend.target_classes": "he, she"}
        )
        assert search_runs()["target_classes"].tolist() == [("he, she",)]
        assert search_runs()["parts"].tolist() == [()]
        with pytest.raises(
            ArtifactError, match=r"its tag gradiend.topk cannot be read: an entry must be an object; got 5"
        ):
            load_topk([run_id], topk=3)

    def test_bad_questions(self) -> None:
        """Unknown runs, a run twice, a bare string, a foreign frame."""
        with pytest.raises(StoreError, match="2 of 2 runs could not be found"):
            load_topk(["a", "b"])
        with pytest.raises(InvalidInputError, match="repeated: a"):
            load_topk(["a", "a"])
        with pytest.raises(InvalidInputError, match="got the str 'a'"):
            load_topk("a")
        with pytest.raises(InvalidInputError, match="needs the column run_id"):
            load_topk(search_runs().drop(columns="run_id"))

    def test_a_frame_of_ids_alone_is_enough(self, logged: dict[str, Path], server: str) -> None:
        """Somebody may have made it by hand."""
        frame = search_runs(["pronouns"], tracking_uri=server)
        assert load_topk(frame[["run_id"]], tracking_uri=server) == load_topk(frame, tracking_uri=server)
        compared = compare(frame[["run_id"]], log=False, tracking_uri=server)
        assert list(compared.matrix.index) == frame["run_name"].tolist()


def test_passwords_are_not_shown() -> None:
    """Errors name the server, not the secret."""
    assert Store("https://me:secret@example.com/mlflow").shown_uri == "https://***@example.com/mlflow"


def test_the_current_server_is_the_default(tracking: MlflowClient) -> None:
    """`mlflow.set_tracking_uri` decides, at the time of the call."""
    assert Store().uri == mlflow.get_tracking_uri()


@pytest.mark.parametrize("run_id", [None, 5, b"run", ["run"], float("nan")])
def test_run_ids_that_are_no_strings_are_named(run_id: Any, tracking: MlflowClient) -> None:
    """In a list or in a frame, by whatever reads runs."""
    for runs in ([run_id], pd.DataFrame({"run_id": [run_id]})):
        for read in (load_topk, compare):
            with pytest.raises(InvalidInputError, match="run ids must be strings; got"):
                read(runs)


@pytest.mark.parametrize(
    ("column", "value"),
    [("sets", {"decoder-weight": 5}), ("sets", {"decoder-weight": {}}), ("tags", None), ("artifact_uri", None)],
)
def test_frames_that_were_changed_are_looked_up(
    column: str, value: Any, tracking: MlflowClient, tmp_path: Path
) -> None:
    """By their run ids, as those are that lack a column."""
    run_id = log_set(tracking, tmp_path)
    frame = search_runs(complete=False)
    changed = frame.assign(**{column: [value]})
    assert complete_frame(changed)[column].tolist() == frame[column].tolist()
    assert complete_frame(changed)["run_id"].tolist() == [run_id]


@pytest.mark.parametrize("uri", [5, b"http://host", Path("mlflow.db"), ""])
def test_tracking_uris_that_are_no_strings_are_named(uri: Any) -> None:
    """Before MLflow trips over them."""
    with pytest.raises(InvalidInputError, match="tracking_uri must be a non-empty string"):
        search_runs(["e"], tracking_uri=uri)
