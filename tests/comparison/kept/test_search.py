"""`search_comparisons`, and `load_comparison` of what it finds, on a real database."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from mlflow import MlflowClient

from gradiend_mlflow import (
    InvalidInputError,
    StoreError,
    compare,
    load_comparison,
    log_topk,
    search_comparisons,
    search_runs,
)
from gradiend_mlflow.comparison import log
from tests.support.checkpoints import make_model

pytestmark = pytest.mark.usefixtures("undrawn")


def add_run(tracking: MlflowClient, name: str, seed: int = 0, **tags: str) -> str:
    """A finished run with a set."""
    run_id = tracking.create_run("0", run_name=name, tags=tags).info.run_id
    log_topk(make_model([("bert.layer.0.query", (20, 5), "all")], seed=seed), run_id=run_id)
    tracking.set_terminated(run_id)
    return str(run_id)


@pytest.fixture
def runs(tracking: MlflowClient) -> list[str]:
    """Four runs in the current database."""
    return [add_run(tracking, f"run {index}", index) for index in range(4)]


def test_what_is_found(runs: list[str], tracking: MlflowClient) -> None:
    """Newest first, with what was asked and answered; what failed is no answer."""
    plain = compare(runs[:2], topk=10)
    grouped = compare(runs, topk=0.1, value="jaccard", groups={"a": runs[:2], "b": runs[2:]})
    failed = tracking.create_run("0", tags={"gradiend.kind": "comparison"}).info.run_id
    tracking.set_terminated(failed, "FAILED")
    found = search_comparisons()
    assert found["run_id"].tolist() == [grouped.run_id, plain.run_id]
    assert found["topk"].tolist() == [0.1, 10]
    assert found["n_runs"].tolist() == [4, 2]
    assert found["source_runs"].tolist() == [tuple(runs), tuple(runs[:2])]
    assert (found["experiment"] == "Default").all()
    first, second = found.to_dict("records")
    assert first["mean"] == pytest.approx(grouped.pairs["jaccard"].mean())
    assert (first["within"], first["between"]) == (grouped.tested.within, grouped.tested.between)
    assert first["group_p"] == grouped.tested.p_value
    assert second["mean"] == pytest.approx(plain.matrix.iloc[0, 1])
    assert second["lift"] == pytest.approx(plain.pairs["lift"][0])
    assert math.isnan(second["group_p"])
    assert found["start_time"].is_monotonic_decreasing


def test_what_is_asked_for(runs: list[str]) -> None:
    """Part, k, measure, number; each leaves the others out."""
    asked = [{}, {"topk": 20}, {"value": "rbo"}, {"part": "encoder-weight"}, {"topk": 0.1}]
    ids = [compare(runs, **{"topk": 10, **one}).run_id for one in asked]
    for one, run_id in zip(asked[1:], ids[1:], strict=True):
        assert search_comparisons(**one)["run_id"].tolist() == [run_id]
    assert search_comparisons(topk=10)["run_id"].tolist() == [ids[3], ids[2], ids[0]]
    assert search_comparisons(max_results=2)["run_id"].tolist() == ids[:2:-1]
    assert search_comparisons(topk=11).empty
    assert list(search_comparisons(topk=11)) == list(search_comparisons())


@pytest.mark.long
def test_of_which_runs(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of those given, by id or in a frame; also where they are too many to be listed in a tag."""
    two = compare(runs[:2], topk=10).run_id
    monkeypatch.setattr(log, "_MOST_IDS", 2)
    four = compare(runs, topk=10).run_id
    assert search_comparisons(runs=runs[:2])["run_id"].tolist() == [four, two]
    assert search_comparisons(runs=search_runs())["run_id"].tolist() == [four]
    assert search_comparisons(runs=runs[1:3])["source_runs"].tolist() == [tuple(runs)]
    assert search_comparisons(runs=[*runs, "other"]).empty
    assert search_comparisons(runs=runs[:1], max_results=1)["run_id"].tolist() == [four]


def test_seeds_are_of_their_training(runs: list[str], tracking: MlflowClient) -> None:
    """A comparison of seeds is found by the trainings that they are of, and by the seeds."""
    for parent in runs[:2]:
        for seed in range(2):
            tags = {"gradiend.kind": "seed", "mlflow.parentRunId": parent, "gradiend.seed": str(seed)}
            add_run(tracking, f"{parent[:4]} {seed}", seed, **tags)
    made = compare(runs[:2], topk=10, seeds="all_tried", seed_aggregate="mean")
    for asked in (runs[:2], list(made.runs["run_id"])):
        assert search_comparisons(runs=asked)["run_id"].tolist() == [made.run_id]
    assert search_comparisons(runs=runs).empty


def test_absurd_params_cost_no_other(runs: list[str], tracking: MlflowClient) -> None:
    """Anybody may write a run that calls itself a comparison."""
    made = compare(runs, topk=10).run_id
    odd = tracking.create_run(
        "0", tags={"gradiend.kind": "comparison", "gradiend.source_runs": "[[" * 2000}
    ).info.run_id
    for name, value in {"topk": "1e999" * 90, "n_runs": "many", "part": "x"}.items():
        tracking.log_param(odd, name, value)
    tracking.set_terminated(odd)
    found = search_comparisons()
    assert found["run_id"].tolist() == [odd, made]
    assert found["topk"][0] is None
    assert pd.isna(found["n_runs"][0])
    assert found["source_runs"][0] == ()


def test_bad_questions(runs: list[str]) -> None:
    """They are refused by what was wanted."""
    for asked, said in (
        ({"part": "decoder"}, "part must be one of"),
        ({"value": "dice"}, "value must be one of"),
        ({"topk": -1}, "topk"),
        ({"max_results": 0}, "max_results must be an int"),
        ({"runs": "abc"}, "runs must be a sequence of run ids or a frame"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            search_comparisons(**asked)
    with pytest.raises(StoreError, match="no experiment with the name 'nowhere'"):
        search_comparisons("nowhere")


class TestLoading:
    """`load_comparison` by everything that a comparison is called."""

    def test_id_name_and_row(self, runs: list[str], tracking: MlflowClient) -> None:
        """Each gives the same, whatever signs a name has."""
        name = 'it\'s 50 % of "a_b" \\ c'
        made = compare(runs, topk=10, run_name=name, log_to="elsewhere")
        compare(runs, topk=9, run_name='it\'s 50 % of "axb" \\ c')
        found = search_comparisons(search_all_experiments=True, topk=10)
        row = found.iloc[0]
        for given in (made.run_id, name, row, found, row.to_dict(), next(found.itertuples())):
            loaded = load_comparison(given)
            assert loaded.run_id == made.run_id
            pd.testing.assert_frame_equal(loaded.matrix, made.matrix)

    @pytest.mark.long
    def test_a_name_of_several(self, runs: list[str]) -> None:
        """They are listed, to choose from."""
        ids = [compare(runs, topk=10, run_name="mine", refresh=True).run_id for _ in range(2)]
        with pytest.raises(InvalidInputError, match="2 runs are called 'mine'; name one by its id:") as raised:
            load_comparison("mine")
        for run_id in ids:
            assert f"{run_id}  comparison, 20" in str(raised.value)
        assert "in 'Default'" in str(raised.value)

    def test_what_is_none(self, runs: list[str]) -> None:
        """A training's id or name, nothing, a frame of several."""
        with pytest.raises(InvalidInputError, match="is not a comparison"):
            load_comparison(runs[0])
        with pytest.raises(StoreError, match="No comparison has that name either"):
            load_comparison("run 0")
        for given, said in ((None, "a row with a run_id; got None"), (search_runs(), "got a frame of 4 rows")):
            with pytest.raises(InvalidInputError, match=said):
                load_comparison(given)
