"""A comparison's run: found again, loaded again, linked; from a real server."""

from __future__ import annotations

import json
import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from gradiend_mlflow import (
    ArtifactError,
    Comparison,
    InvalidInputError,
    StoreError,
    TopKSet,
    compare,
    load_comparison,
    load_topk,
    log_topk,
    search_runs,
)
from gradiend_mlflow.comparison import files as comparison_files
from gradiend_mlflow.figures.drawing import canvas
from gradiend_mlflow.store.store import Store
from tests.support.checkpoints import make_model
from tests.support.sampling import quick
from tests.support.sets import log_trainings


@pytest.fixture
def runs(tracking: MlflowClient) -> list[str]:
    """Four runs of two groups in the current database."""
    ids = []
    for index in range(4):
        tags = {"gradiend.converged": "false"} if index == 1 else {}
        run_id = tracking.create_run("0", run_name=f"run {index}", tags=tags).info.run_id
        log_topk(
            make_model([("bert.layer.0.query", (20, 5), "all"), ("bert.layer.1.key", (9,), "all")]), run_id=run_id
        )
        tracking.set_terminated(run_id)
        ids.append(run_id)
    return ids


def comparisons(tracking: MlflowClient, experiment: str = "0") -> list[str]:
    """Ids of the comparisons in an experiment."""
    return [run.info.run_id for run in tracking.search_runs([experiment], "tags.`gradiend.kind` = 'comparison'")]


class TestTheSameQuestion:
    """It is answered once."""

    @pytest.mark.usefixtures("undrawn")
    def test_it_finds_its_answer(self, runs: list[str], tracking: MlflowClient) -> None:
        """Asked again, nothing is logged; `refresh` logs another, which is found from then on."""
        first = compare(runs, topk=10)
        assert compare(runs, topk=10).run_id == first.run_id
        assert compare(runs, topk=10, refresh=True).run_id != first.run_id
        assert compare(runs, topk=10).run_id == compare(runs, topk=10).run_id != first.run_id
        assert len(comparisons(tracking)) == 2

    @pytest.mark.usefixtures("undrawn")
    @pytest.mark.parametrize(
        "other",
        quick(
            [
                {"topk": 9},
                {"unit": "neuron"},
                {"log_to": "elsewhere"},
                {"topk": 0.1},
                {"value": "jaccard"},
                {"part": "encoder-weight"},
                {"rbo_p": 0.9},
                {"labels": "run_id"},
                {"groups": "base_model"},
            ],
            first=3,
        ),
        ids=lambda other: next(iter(other)) + str(next(iter(other.values()))),
    )
    def test_another_question_is_another(self, other: dict[str, Any], runs: list[str]) -> None:
        """Whatever is asked differently; asked so again, it is found too."""
        asked = {"topk": 10, **other}
        different = compare(runs, **asked).run_id
        assert different != compare(runs, topk=10).run_id
        assert compare(runs, **asked).run_id == different

    @pytest.mark.usefixtures("undrawn")
    def test_the_order_of_the_runs_is_no_question(self, runs: list[str]) -> None:
        """Nor is that of groups: every number is the same. Other members of the groups are another question."""
        groups = {"a": runs[:2], "b": runs[2:]}
        first = compare(runs, topk=10, groups=groups)
        again = compare(runs[::-1], topk=10, groups=dict(reversed(groups.items())))
        assert again.run_id == first.run_id
        assert again.overlap.labels == first.overlap.labels[::-1]
        pd.testing.assert_frame_equal(again.matrix.loc[list(first.matrix), list(first.matrix)], first.matrix)
        assert load_comparison(again.run_id).overlap.labels == first.overlap.labels
        assert compare(runs, topk=10, groups={"a": runs[:3], "b": runs[3:]}).run_id != first.run_id

    @pytest.mark.long
    def test_groups_have_a_figure(self, runs: list[str], tracking: MlflowClient) -> None:
        """If they can be tested."""
        for groups, drawn in (({"a": runs[:2], "b": runs[2:]}, {"groups.png", "groups.pdf"}), ({"a": runs}, set())):
            logged = compare(runs, topk=10, groups=groups)
            assert {file.path for file in tracking.list_artifacts(logged.run_id) if "groups" in file.path} == drawn

    @pytest.mark.usefixtures("undrawn")
    @pytest.mark.long
    def test_the_order_of_trainings_is_none_where_seeds_are_aggregated(
        self, runs: list[str], tracking: MlflowClient
    ) -> None:
        """Each keeps its own seeds."""
        for parent in runs[:2]:
            for seed in range(2):
                tags = {"gradiend.kind": "seed", "mlflow.parentRunId": parent, "gradiend.seed": str(seed)}
                run_id = tracking.create_run("0", tags=tags, run_name=f"{parent[:4]} {seed}").info.run_id
                log_topk(make_model([("bert.layer.0.query", (20, 5), "all")], seed=seed), run_id=run_id)
                tracking.set_terminated(run_id)
        asked: dict[str, Any] = {"topk": 10, "seeds": "all_tried", "seed_aggregate": "mean"}
        first, again = compare(runs[:2], **asked), compare(runs[1::-1], **asked)
        assert again.run_id == first.run_id
        assert again.matrix.iloc[0, 1] == first.matrix.iloc[0, 1]
        assert compare(runs[:2], **asked, dispersion="std").run_id != first.run_id

    @pytest.mark.usefixtures("undrawn")
    @pytest.mark.long
    def test_a_run_that_was_found_not_to_converge_is_another_question(
        self, runs: list[str], tracking: MlflowClient
    ) -> None:
        """The figures mark it."""
        first = compare(runs, topk=10).run_id
        tracking.set_tag(runs[2], "gradiend.converged", "false")
        assert compare(runs, topk=10).run_id != first

    @pytest.mark.usefixtures("undrawn")
    @pytest.mark.long
    def test_a_name_belongs_to_one_answer(self, runs: list[str]) -> None:
        """Asked by a name, the answer of that name is found; asked without, the newest of any."""
        plain = compare(runs, topk=10).run_id
        named = compare(runs, topk=10, run_name="figure 1").run_id
        assert named != plain
        assert compare(runs, topk=10, run_name="figure 1").run_id == named == compare(runs, topk=10).run_id

    @pytest.mark.usefixtures("undrawn")
    @pytest.mark.long
    def test_other_sets_are_another_question(self, runs: list[str]) -> None:
        """Fewer runs, or a set that was logged anew."""
        first = compare(runs, topk=10).run_id
        assert compare(runs[:3], topk=10).run_id != first
        log_topk(make_model([("bert.layer.0.query", (20, 5), "all")]).prune(topk=40), run_id=runs[0])
        assert compare(runs, topk=10).run_id != first

    @pytest.mark.long
    def test_one_that_failed_is_no_answer(
        self, runs: list[str], tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor is one that was deleted."""

        def fail(*_: Any, **__: Any) -> None:
            raise OSError("no space")

        with monkeypatch.context() as patched:
            patched.setattr("mlflow.MlflowClient.log_image", fail)
            with pytest.raises(StoreError, match="no space"):
                compare(runs, topk=10)
        (failed,) = comparisons(tracking)
        run = tracking.get_run(failed)
        assert (run.info.status, run.info.run_name) == ("FAILED", "comparison, not finished")
        assert "mlflow.note.content" not in run.data.tags
        answered = compare(runs, topk=10).run_id
        assert answered != failed
        tracking.delete_run(answered)
        assert compare(runs, topk=10).run_id not in (failed, answered)

    @pytest.mark.usefixtures("undrawn")
    @pytest.mark.parametrize("name", ["sets.zip", "comparison.json"])
    @pytest.mark.parametrize("content", quick([None, b"{}"], first=1), ids=["gone", "damaged"])
    def test_one_whose_files_are_gone_is_no_answer(
        self,
        name: str,
        content: bytes | None,
        runs: list[str],
        tracking: MlflowClient,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is said, and logged anew, and then found."""
        spoilt = compare(runs, topk=10).run_id
        file = Path(tracking.get_run(spoilt).info.artifact_uri.removeprefix("file://"), name)
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        anew = compare(runs, topk=10).run_id
        assert anew != spoilt
        assert f"The comparison {spoilt} cannot be read, so it is logged anew" in caplog.text
        assert compare(runs, topk=10).run_id == anew


@pytest.mark.usefixtures("undrawn")
class TestLinks:
    """`link=True`."""

    def test_sources_are_tagged(self, runs: list[str], tracking: MlflowClient) -> None:
        """With every comparison, once; without `link` not at all."""
        first = compare(runs, topk=10).run_id
        assert "gradiend.comparisons" not in tracking.get_run(runs[0]).data.tags
        second = compare(runs[:2], topk=10, link=True).run_id
        compare(runs, topk=10, link=True)
        compare(runs, topk=10, link=True)
        linked = [json.loads(tracking.get_run(run_id).data.tags["gradiend.comparisons"]) for run_id in runs]
        assert linked == [[second, first], [second, first], [first], [first]]


@pytest.mark.usefixtures("undrawn")
class TestLoading:
    """`load_comparison`."""

    def test_the_same_without_the_runs(self, runs: list[str], tracking: MlflowClient) -> None:
        """Every number, table and figure, after the runs are gone."""
        groups = {"x": ["run 0", "run 1"], "y": ["run 2"]}
        asked = compare(runs, topk=10, value="mass_overlap", groups=groups, labels="run_name")
        for run_id in runs:
            tracking.delete_run(run_id)
        found = load_comparison(asked.run_id)
        assert found.run_id == asked.run_id
        assert dict(found.sets) == dict(asked.sets)
        for value in ("intersection", "jaccard", "mass_overlap", "cosine_signed", "rbo"):
            np.testing.assert_array_equal(found.overlap.values(value), asked.overlap.values(value))
        for table in ("pairs", "groups", "matrix"):
            pd.testing.assert_frame_equal(found.to_frame(table), asked.to_frame(table))
        pd.testing.assert_frame_equal(found.shared_weights(), asked.shared_weights())
        pd.testing.assert_frame_equal(found.by_layer().to_frame(), asked.by_layer().to_frame())
        pd.testing.assert_frame_equal(found.runs, asked.runs, check_dtype=False)
        assert (found.groups, found.notes, found.skipped) == (asked.groups, asked.notes, asked.skipped)
        assert (found.part, found.topk, found.value) == (asked.part, asked.topk, asked.value)
        assert found.overlap_curve().ks[-1] == 10
        ticks = [label.get_text() for label in found.plot_heatmap().axes[0].get_xticklabels()]
        assert ticks == ["run 0", "run 1†", "run 2", "run 3"]

    def test_a_pythonless_reader_has_the_numbers_too(self, runs: list[str]) -> None:
        """comparison.json holds the matrices, sets.zip a file per set."""
        asked = compare(runs, topk=10, value="rbo")
        folder = Path(mlflow.artifacts.download_artifacts(run_id=asked.run_id))
        facts = json.loads((folder / "comparison.json").read_text(), parse_constant=pytest.fail)
        np.testing.assert_array_equal(facts["matrix"]["values"], asked.matrix)
        expected = [[None if np.isnan(p) else p for p in row] for row in asked.chance().p_value]
        assert facts["chance"]["p_value"] == expected
        assert len(zipfile.ZipFile(folder / "sets.zip").namelist()) == 4
        pairs = pd.read_csv(folder / "pairs.csv")
        np.testing.assert_allclose(pairs["rbo"], asked.to_frame("pairs")["rbo"])

    def test_files_that_are_not_those_logged_are_refused(
        self, runs: list[str], tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Either of the two."""
        for name in ("sets.zip", "comparison.json"):
            run_id = compare(runs, topk=10, refresh=True).run_id
            changed = tmp_path / name
            changed.write_bytes(b"{}")
            tracking.log_artifact(run_id, str(changed))
            with pytest.raises(ArtifactError, match=f"{name} is not the file that was logged"):
                load_comparison(run_id)

    def test_other_runs_are_refused(self, runs: list[str], tracking: MlflowClient) -> None:
        """A training, an unfinished comparison, nothing."""
        with pytest.raises(InvalidInputError, match="is not a comparison"):
            load_comparison(runs[0])
        begun = tracking.create_run("0", tags={"gradiend.kind": "comparison"}).info.run_id
        with pytest.raises(InvalidInputError, match="was not completed"):
            load_comparison(begun)
        with pytest.raises(StoreError, match="could not find the run nowhere"):
            load_comparison("nowhere")

    def test_aggregated_seeds_come_back(self, runs: list[str], tracking: MlflowClient) -> None:
        """Their policy and members come back."""
        for parent in runs[:2]:
            for seed in range(2):
                tags = {"gradiend.kind": "seed", "mlflow.parentRunId": parent, "gradiend.seed": str(seed)}
                run_id = tracking.create_run("0", tags=tags, run_name=f"{parent[:4]} {seed}").info.run_id
                log_topk(make_model([("bert.layer.0.query", (20, 5), "all")]), run_id=run_id)
                tracking.set_terminated(run_id)
        asked = compare(runs[:2], topk=10, seeds="all_tried", seed_aggregate="mean", dispersion="std")
        found = load_comparison(asked.run_id)
        pd.testing.assert_frame_equal(found.to_frame(), asked.to_frame())
        assert found.seed_overlap.policy == asked.seed_overlap.policy
        assert found.regions == asked.regions


@pytest.mark.usefixtures("undrawn")
class TestNames:
    """What the list of runs shows of a comparison."""

    @staticmethod
    def name(tracking: MlflowClient, comparison: Comparison) -> str:
        """The name of its run."""
        return str(tracking.get_run(comparison.run_id).info.run_name)

    def test_the_answer_and_who(self, runs: list[str], tracking: MlflowClient) -> None:
        """First k, the number of runs and the answer; names as long as they are short."""
        two = compare(runs[:2], topk=10, value="intersection")
        shared = two.overlap.intersection[0, 1]
        assert self.name(tracking, two) == f"k10 2 runs {shared} · intersection · decoder-weight · run 0, run 1"
        four = compare(runs, topk=10)
        mean = four.to_frame()["intersection_frac"].mean()
        assert (
            self.name(tracking, four)
            == f"k10 4 runs {100 * mean:.0f} % · intersection_frac · decoder-weight · Default"
        )

    @pytest.mark.long
    def test_what_is_asked_differently_is_called_differently(self, runs: list[str], tracking: MlflowClient) -> None:
        """The list has room for k and the answer; groups and measures after them."""
        groups = [{"a": runs[:2], "b": runs[2:]}, {"x": runs[:2], "y": runs[2:3], "z": runs[3:]}]
        asked: list[dict[str, Any]] = [{}, {"value": "jaccard"}, {"value": "rbo"}, {"topk": 9}]
        asked += [{"groups": grouped} for grouped in groups]
        names = [self.name(tracking, compare(runs, **{"topk": 10, **options})) for options in asked]
        assert " · jaccard · " in names[1]
        assert names[3].startswith("k9 4 runs ")
        assert " · 2 groups: a, b · " in names[4]
        assert names[5].endswith(" · 3 groups: x, y, z · Default")
        assert len(set(names)) == len(names)

    @pytest.mark.long
    def test_what_is_called_the_same_is_numbered(self, runs: list[str], tracking: MlflowClient) -> None:
        """Whatever signs a name has; a name that is given is kept."""
        for run_id, name in zip(runs, ["it's", 'a "b"', "50 %_", "c\\'"], strict=True):
            tracking.set_tag(run_id, "mlflow.runName", name)
        for pair in (runs[:2], runs[2:]):
            found = [self.name(tracking, compare(pair, topk=10, refresh=True)) for _ in range(2)]
            assert found[1] == f"{found[0]} (2)"
        named = [self.name(tracking, compare(runs, topk=10, run_name="mine", refresh=True)) for _ in range(2)]
        assert named == ["mine", "mine"]


def test_each_figure_is_laid_out_once(
    runs: list[str], tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PNG and PDF are of one layout."""
    made: list[object] = []
    new_figure = canvas.new_figure
    monkeypatch.setattr(canvas, "new_figure", lambda *given: made.append(new_figure(*given)) or made[-1])
    run_id = compare(runs, topk=10).run_id
    assert run_id is not None
    files = [Path(file.path) for file in tracking.list_artifacts(run_id)]
    drawn = {file.stem for file in files if file.suffix == ".png"}
    assert drawn == {file.stem for file in files if file.suffix == ".pdf"}
    assert len(made) == len(drawn) > 1


def test_an_upload_that_fails(runs: list[str], tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error ends the run, though the other files are drawn and uploaded beside it."""
    upload = Store.upload

    def refused(self: Store, run_id: str, file: Path, folder: str | None) -> None:
        if file.name == "pairs.csv":
            raise StoreError("the server refuses pairs.csv")
        upload(self, run_id, file, folder)

    monkeypatch.setattr(Store, "upload", refused)
    with pytest.raises(StoreError, match=r"refuses pairs\.csv"):
        compare(runs, topk=10)
    assert tracking.get_run(comparisons(tracking)[0]).info.status == "FAILED"


def test_who_has_enough_does_not_wait_for_all_sets(
    tracking: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upload that failed, or an interrupt, only those that were begun are made."""
    stopped, made = threading.Event(), []

    def made_late(topk_set: TopKSet) -> bytes:
        assert stopped.wait(60)
        made.append(topk_set)
        return b""

    monkeypatch.setattr(comparison_files, "Event", lambda: stopped)
    monkeypatch.setattr(comparison_files, "topk_bytes", made_late)
    compared = compare(log_trainings(tracking, tmp_path, 40), topk=10, log=False)
    files = comparison_files.written_files(compared, tmp_path)
    assert next(files).name == "matrix.csv"
    files.close()
    assert stopped.is_set()
    assert len(made) < 20


def test_labels_without_any_weight(runs: list[str], tracking: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no training has a weight that all its seeds share: without the figures of what is where."""
    monkeypatch.setattr(Comparison, "is_empty", True)
    run_id = compare(runs, topk=10).run_id
    assert run_id is not None
    files = {file.path for file in tracking.list_artifacts(run_id)}
    assert "overlap_heatmap.png" in files
    assert not {"layers.png", "upset.png"} & files


@pytest.mark.long
def test_pairs_are_as_many_as_the_ui_shows(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """500 rows, the most overlapping ones; the matrix has all of them."""
    assert comparison_files._PREVIEWED_PAIRS == 500
    monkeypatch.setattr(comparison_files, "_PREVIEWED_PAIRS", 2)
    comparison = compare(runs, topk=10)
    folder = Path(mlflow.artifacts.download_artifacts(run_id=comparison.run_id))
    listed = pd.read_csv(folder / "pairs.csv")
    assert listed[["a", "b"]].to_numpy().tolist() == comparison.to_frame()[["a", "b"]][:2].to_numpy().tolist()
    assert pd.read_csv(folder / "matrix.csv", index_col=0).shape == (4, 4)


def test_pictures_to_set_side_by_side(runs: list[str], tracking: MlflowClient) -> None:
    """The heatmap is a picture that the UI shows in a grid of runs."""
    run_id = compare(runs, topk=10).run_id
    names = [item.path for item in tracking.list_artifacts(run_id, "images")]
    # MLflow's versions differ in how they write a key's slash, and the step after it.
    assert any(re.match(r"images/comparison.heatmap.step.0.", name) for name in names), names


@pytest.mark.long
def test_the_description_links_every_run(runs: list[str], tracking: MlflowClient) -> None:
    """And says what chance would give."""
    comparison = compare(runs, topk=10)
    note = tracking.get_run(comparison.run_id).data.tags["mlflow.note.content"]
    assert re.search(r"They share [\d.]+ times as many weights as chance would give", note)
    for run_id in runs:
        assert f"(#/experiments/0/runs/{run_id})" in note.rpartition("Runs: ")[2]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (
            {"topk": 0.1},
            "**Two runs share 100.0% of their top 10% of weights on average** (of 4 runs; decoder-weight; ",
        ),
        (
            {"value": "jaccard"},
            "**Two runs agree to 100.0% (jaccard) in their top 10 weights on average** (of 4 runs; ",
        ),
        ({"topk": 1, "value": "intersection"}, "**Two runs share 1 of their top 1 weights on average** (of 4 runs; "),
    ],
    ids=["fraction", "jaccard", "one"],
)
def test_the_answer_is_a_true_sentence(
    asked: dict[str, Any], answer: str, runs: list[str], tracking: MlflowClient
) -> None:
    """Whatever the measure and the k."""
    run = tracking.get_run(compare(runs, **{"topk": 10, **asked}).run_id)
    assert run.data.tags["mlflow.note.content"].startswith(answer)
    k = "10%" if asked.get("topk") == 0.1 else asked.get("topk", 10)
    assert run.info.run_name.startswith(f"k{k} 4 runs ")


@pytest.mark.usefixtures("undrawn")
def test_of_two_runs_there_is_one_number(runs: list[str], tracking: MlflowClient) -> None:
    """No average, and no range."""
    note = tracking.get_run(compare(runs[:2], topk=10).run_id).data.tags["mlflow.note.content"]
    assert note.startswith(
        "**The two runs share 100.0% of their top 10 weights** (decoder-weight; intersection_frac). "
        "They share 10.9 times as many weights as chance would give. 10 weights are in all runs."
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"run_name": ""}, "run_name must be a non-empty string, or None for the default; got ''"),
        ({"log_to": "  "}, "log_to must be a non-empty string"),
        ({"log": "no"}, "log must be True or False; got 'no'"),
        ({"link": True, "log": False}, "it cannot go with log=False"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_how_to_log_is_checked(asked: dict[str, Any], said: str, runs: list[str], tracking: MlflowClient) -> None:
    """Before anything is asked of the server."""
    with pytest.raises(InvalidInputError, match=said):
        compare(runs, topk=10, **asked)
    assert comparisons(tracking) == []


@pytest.mark.usefixtures("undrawn")
def test_trainings_are_still_found(runs: list[str]) -> None:
    """A comparison adds nothing to what a search for trainings finds, and its link does not hide them."""
    compare(runs, topk=10, link=True)
    assert search_runs()["run_id"].tolist() == runs
    assert len(load_topk(runs, topk=10)) == 4
