"""One run with absurd tags does not hide the others."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import compare, load_topk, search_runs
from gradiend_mlflow.store import tags
from tests.support.hostile import DIGEST, hostile_server, run_of
from tests.support.sets import log_set, tag_set

DEEP = "[" * 3000 + "]" * 3000
ENTRY = {"path": "gradiend/topk/decoder-weight.parquet", "sha256": DIGEST, "k": 10}


def topk_of(**changes: Any) -> str:
    """The tag that lists one set, with something changed."""
    return json.dumps({"decoder-weight": ENTRY | changes})


ABSURD = [
    ("gradiend.topk", topk_of().replace("10", "1e999"), "integer"),
    ("gradiend.topk", topk_of().replace("10", "9" * 30), "beyond 64 bits"),
    ("gradiend.topk", topk_of().replace("10", "NaN"), "NaN"),
    ("gradiend.topk", topk_of(k=5.0), "k must be an integer"),
    ("gradiend.topk", topk_of(k=True), "k must be an integer"),
    ("gradiend.topk", topk_of(k=0), "k must be an integer"),
    ("gradiend.topk", topk_of(path=["x"]), "path must be a string"),
    ("gradiend.topk", topk_of(sha256="../../x"), "sha256 must be 64"),
    ("gradiend.topk", '{"a": ' + DEEP + "}", "nested too deep|must be an object"),
    ("gradiend.topk", "{" + "[" * 6000, "nested too deep|not valid JSON"),
    ("gradiend.topk", "{}", "it has no set"),
    ("gradiend.topk", "{", "not valid JSON"),
]


@pytest.mark.parametrize(("key", "value", "reason"), ABSURD)
def test_absurd_sets_are_named_and_skipped(
    key: str, value: str, reason: str, tracking: MlflowClient, tmp_path: Path
) -> None:
    """The rest of the experiment is compared; alone, the run has an error of its own."""
    good = []
    for index in range(2):
        run_id = log_set(tracking, tmp_path, name=str(index))
        digest = hashlib.sha256((tmp_path / "decoder-weight.parquet").read_bytes()).hexdigest()
        tag_set(tracking, run_id, sha256=digest)
        good.append(run_id)
    bad = log_set(tracking, tmp_path, **{key: value})
    assert set(search_runs(complete=False)["run_id"]) == {*good, bad}
    comparison = compare(log=False, topk=5)
    assert comparison.runs["run_id"].tolist() == good
    (skipped,) = comparison.skipped
    assert skipped.run_id == bad
    assert re.search(reason, skipped.reason)
    assert len(skipped.reason) < 500
    with pytest.raises(gradiend_mlflow.GradiendMLflowError, match=f"run {bad}: "):
        load_topk([bad])


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"gradiend_seed": "9" * 30}, "seed", None),
        ({"gradiend_seed": "1e999"}, "seed", None),
        ({"gradiend_seed": "true"}, "seed", None),
        ({"gradiend_seed": DEEP}, "seed", None),
        ({"gradiend_seed": "-3"}, "seed", -3),
        ({"gradiend_target_classes": DEEP}, "target_classes", (DEEP,)),
        ({"gradiend_target_classes": "[[1]]"}, "target_classes", ("[[1]]",)),
        ({"gradiend_converged": "perhaps"}, "converged", False),
    ],
)
def test_other_absurd_tags_count_as_missing(changes: dict[str, str], column: str, expected: Any) -> None:
    """And the other runs are found with theirs."""
    with hostile_server() as server:
        server.runs = [run_of(run_id="b" * 32, gradiend_seed="7", gradiend_target_classes='["x"]'), run_of(**changes)]
        frame = search_runs(["e"], tracking_uri=server.uri)
    first, second = frame.to_dict("records")
    assert (first["seed"], first["target_classes"]) == (7, ("x",))
    assert second[column] is expected or second[column] == expected or frame[column].isna()[1]


@pytest.mark.parametrize("milliseconds", [253402300800000, 10**17, -(10**17), 2**63 - 1])
def test_times_beyond_all_calendars(milliseconds: int) -> None:
    """The year 10000 is a missing time."""
    with hostile_server() as server:
        server.runs = [run_of(run_id="b" * 32), run_of()]
        server.runs[1]["info"]["start_time"] = milliseconds
        frame = search_runs(["e"], tracking_uri=server.uri)
    assert frame["start_time"].isna().tolist() == [False, True]


def test_an_experiment_that_nobody_asked_for() -> None:
    """A run says that it is in another one."""
    with hostile_server() as server:
        server.runs[0]["info"]["experiment_id"] = "77"
        assert search_runs(["e"], tracking_uri=server.uri)["experiment"].tolist() == ["77"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.one_of(st.text(), json_values.map(json.dumps), st.fixed_dictionaries({"x": json_values}).map(json.dumps)))
def test_any_text_is_a_tag(text: str) -> None:
    """Every reader of tags has an answer."""
    run_tags = dict.fromkeys([tags.TOPK, tags.TOPK_LEFT_OUT, tags.SEED, tags.TARGET_CLASSES, tags.COMPARISONS], text)
    sets = tags.sets_of(run_tags)
    assert sets == {} or tags.damage_of_sets(run_tags) is None
    assert all(isinstance(reason, str) for reason in tags.left_out_of(run_tags).values())
    assert all(isinstance(name, str) for name in (*tags.target_classes_of(run_tags), *tags.comparisons_of(run_tags)))
    seed = tags.seed_of(run_tags)
    assert seed is None or abs(seed) < 2**64


def test_a_tag_of_many_sets() -> None:
    """A run has four."""
    many = {f"part {number}": ENTRY for number in range(1000)}
    assert tags.sets_of({tags.TOPK: json.dumps(many)}) == {}
    assert tags.damage_of_sets({tags.TOPK: json.dumps(many)}) is not None
