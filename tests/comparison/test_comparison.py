"""The question in one call, on real trainings on a real server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from gradiend.comparison import compute_similarity_matrix
from gradiend.visualizer.topk.pairwise_heatmap import plot_topk_overlap_heatmap
from gradiend.visualizer.topk.venn_ import compute_topk_sets
from matplotlib import pyplot as plt
from mlflow import MlflowClient

from gradiend_mlflow import (
    PARTS,
    Comparison,
    InvalidInputError,
    SpaceConflictError,
    StoreError,
    TopKSet,
    WeightSpace,
    compare,
    log_topk,
    search_runs,
)
from tests.support.checkpoints import make_model
from tests.support.sets import log_set, tag_set

NAMES = ["3SG_3PL", "1SG_1PL", "1SG_3SG"]


@pytest.fixture(scope="module")
def comparison(logged: dict[str, Path], server: str) -> Comparison:
    """The comparison of the three trainings, logged."""
    return compare(experiment_names=["pronouns"], topk=500, tracking_uri=server)


def log_model(
    client: MlflowClient, model: Any, experiment: str = "0", *, uri: str | None = None, **options: Any
) -> str:
    """A finished run with a model's sets; returns its id."""
    run_id = client.create_run(experiment, **options).info.run_id
    log_topk(model, run_id=run_id, topk=500, tracking_uri=uri)
    client.set_terminated(run_id)
    return run_id


def gradiends_models(logged: dict[str, Path]) -> dict[str, Any]:
    """The same runs as gradiend loads them."""
    from gradiend.trainer.suite.definitions import _load_gradiend_only_model

    return {name: _load_gradiend_only_model(str(path)) for name, path in logged.items()}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("topk", [300, 0.02])
@pytest.mark.parametrize("value", ["intersection", "intersection_frac"])
def test_the_numbers_are_those_of_gradiends_own_figures(
    part: str, topk: float, value: Any, logged: dict[str, Path], server: str
) -> None:
    """Heatmap and Venn diagram of gradiend, from the checkpoints; ours from the artifacts."""
    ours = compare(experiment_names="pronouns", part=part, topk=topk, value=value, log=False, tracking_uri=server)
    models = gradiends_models(logged)
    theirs = plot_topk_overlap_heatmap(models, topk=topk, part=part, value=value, show=False, percentages=False)
    plt.close("all")
    np.testing.assert_array_equal(ours.matrix, np.array(theirs["matrix"]))
    assert list(ours.matrix.index) == list(ours.matrix.columns) == theirs["model_ids"]
    per_model, intersection, union = compute_topk_sets(models, topk=topk, part=part)
    assert ours.overlap.regions.get(tuple(NAMES), 0) == len(intersection)
    assert ours.overlap.union_size == len(union)
    for name in NAMES:
        assert set(ours.sets[name].base_global_indices().tolist()) == set(per_model[name])


@pytest.mark.parametrize("part", ["encoder-weight", "decoder-sum"])
@pytest.mark.parametrize("value", ["mass_overlap", "cosine", "cosine_signed"])
def test_the_other_measures_are_gradiends_too(part: str, value: Any, logged: dict[str, Path], server: str) -> None:
    """From gradiend's checkpoints; ours from the artifacts."""
    ours = compare(experiment_names="pronouns", part=part, topk=0.02, value=value, log=False, tracking_uri=server)
    theirs = compute_similarity_matrix(gradiends_models(logged), measure=value, part=part, topk=0.02)
    np.testing.assert_allclose(ours.matrix, theirs["matrix"], rtol=1e-5, atol=1e-7)


def test_runs_that_did_not_converge_are_noted(comparison: Comparison) -> None:
    """As gradiend marks them in its figures; here none of four steps does."""
    runs = comparison.runs
    unconverged = runs.loc[runs["converged"].eq(False), "label"].tolist()
    assert unconverged
    assert comparison.notes == (f"Did not converge: {', '.join(unconverged)}.",)


class TestLoggedComparison:
    """What is in MLflow afterwards."""

    def test_it_is_a_run_of_its_own_kind(self, comparison: Comparison, server: str) -> None:
        """Finished, in the runs' experiment, with settings that can be searched; not among the trainings."""
        client = MlflowClient(tracking_uri=server)
        run = client.get_run(comparison.run_id)
        assert run.info.status == "FINISHED"
        mean = comparison.to_frame("pairs")["intersection_frac"].mean()
        answer = f"{100 * mean:.0f} % · intersection_frac · decoder-weight"
        assert run.info.run_name == f"k500 3 runs {answer} · 3SG_3PL, 1SG_1PL, 1SG_3SG"
        assert client.get_experiment(run.info.experiment_id).name == "pronouns"
        assert run.data.tags["gradiend.kind"] == "comparison"
        assert json.loads(run.data.tags["gradiend.source_runs"]) == comparison.runs["run_id"].tolist()
        assert run.data.params == {
            "part": "decoder-weight",
            "topk": "500",
            "value": "intersection_frac",
            "n_runs": "3",
            "unit": "weight",
        }
        off_diagonal = comparison.overlap.intersection_frac[np.triu_indices(3, k=1)]
        assert run.data.metrics["overlap/mean"] == pytest.approx(off_diagonal.mean())
        assert run.data.metrics["overlap/max"] == off_diagonal.max()
        assert run.data.metrics["overlap/min"] == off_diagonal.min()
        pairs = comparison.to_frame("pairs")
        lift = pairs["intersection"].sum() / pairs["expected"].sum()
        assert run.data.metrics["overlap/lift"] == pytest.approx(lift)
        assert comparison.run_id not in search_runs("pronouns", tracking_uri=server)["run_id"].tolist()

    def test_it_has_figures_tables_and_facts(self, comparison: Comparison, server: str, tmp_path: Path) -> None:
        """Figures as PNG and PDF, the matrix, the runs and everything as JSON."""
        folder = Path(
            mlflow.artifacts.download_artifacts(
                run_id=comparison.run_id, dst_path=str(tmp_path / "files"), tracking_uri=server
            )
        )
        assert {path.name for path in folder.iterdir()} == {
            "overlap_heatmap.png",
            "overlap_heatmap.pdf",
            "venn.png",
            "venn.pdf",
            "upset.png",
            "upset.pdf",
            "curve.png",
            "curve.pdf",
            "layers.png",
            "layers.pdf",
            "matrix.csv",
            "pairs.csv",
            "runs.csv",
            "comparison.json",
            "sets.zip",
            "report.html",
            "images",
        }
        for name in ("overlap_heatmap", "venn", "upset", "curve", "layers"):
            assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
            assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        pd.testing.assert_frame_equal(pd.read_csv(folder / "matrix.csv", index_col=0), comparison.matrix)
        facts = json.loads((folder / "comparison.json").read_text())
        assert facts["labels"] == NAMES
        assert facts["intersection"] == comparison.overlap.intersection.tolist()
        sets = comparison.runs["sets"].tolist()
        assert [run["sha256"] for run in facts["runs"]] == [entry["decoder-weight"]["sha256"] for entry in sets]
        assert pd.read_csv(folder / "runs.csv")["run_id"].tolist() == comparison.runs["run_id"].tolist()

    def test_its_description_gives_the_answer(self, comparison: Comparison, server: str) -> None:
        """A sentence, a table, links to the runs."""
        note = MlflowClient(tracking_uri=server).get_run(comparison.run_id).data.tags["mlflow.note.content"]
        assert note.startswith("**Two runs share ")
        assert " (of 3 runs; decoder-weight; intersection_frac, " in note
        for row in comparison.runs.to_dict("records"):
            assert f"[{row['label'].replace('_', chr(92) + '_')}](#/experiments/{row['experiment_id']}/runs/" in note

    @pytest.mark.usefixtures("undrawn")
    def test_the_source_runs_are_as_they_were(self, logged: dict[str, Path], server: str) -> None:
        """Comparing changes nothing but the comparison."""
        client = MlflowClient(tracking_uri=server)
        before = [
            client.get_run(run_id).to_dictionary() for run_id in search_runs("pronouns", tracking_uri=server)["run_id"]
        ]
        compare(experiment_names="pronouns", tracking_uri=server)
        after = [client.get_run(run["info"]["run_id"]).to_dictionary() for run in before]
        assert after == before

    @pytest.mark.usefixtures("undrawn")
    def test_it_goes_where_it_was_asked_to(self, logged: dict[str, Path], server: str) -> None:
        """To the experiment asked for; runs of several experiments go to a shared one; or nowhere."""
        client = MlflowClient(tracking_uri=server)
        log_model(client, logged["3SG_3PL"], client.create_experiment("elsewhere"), uri=server)
        both = compare(experiment_names=["pronouns", "elsewhere"], topk=500, tracking_uri=server)
        assert _experiment_of(client, both) == "gradiend-comparisons"
        chosen = compare(experiment_names="pronouns", topk=500, log_to="papers", run_name="fig 1", tracking_uri=server)
        assert _experiment_of(client, chosen) == "papers"
        assert client.get_run(chosen.run_id).info.run_name == "fig 1"
        assert compare(experiment_names="pronouns", topk=500, log=False, tracking_uri=server).run_id is None

    def test_what_is_unknown_of_a_run_is_null(self, tracking: MlflowClient) -> None:
        """Also in the JSON, which knows no NaN."""
        for name in ("a", "b"):
            log_model(tracking, make_model([("w", (50,), "all")]), run_name=name)
        tracking.delete_tag(search_runs()["run_id"][0], "gradiend.base_model")
        run_id = compare(topk=5).run_id
        file = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="comparison.json")
        runs = json.loads(Path(file).read_text(), parse_constant=pytest.fail)["runs"]
        assert [(run["base_model"], run["seed"], run["converged"]) for run in runs] == [
            (None, None, None),
            ("tiny-bert", None, None),
        ]

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (StoreError("disk full"), "FAILED"),
            pytest.param(KeyboardInterrupt("stopped"), "KILLED", marks=pytest.mark.long),
        ],
    )
    def test_a_failure_while_logging_is_raised_and_the_run_failed(
        self,
        error: BaseException,
        status: str,
        logged: dict[str, Path],
        server: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No run stays RUNNING."""

        def fail(*_: Any) -> None:
            raise error

        monkeypatch.setattr("gradiend_mlflow.store.store.Store.upload", fail)
        with pytest.raises(type(error), match=str(error)):
            compare(experiment_names="pronouns", topk=500, log_to=status, tracking_uri=server)
        client = MlflowClient(tracking_uri=server)
        (run,) = client.search_runs([client.get_experiment_by_name(status).experiment_id])
        assert run.info.status == status


def _experiment_of(client: MlflowClient, comparison: Comparison) -> str:
    return client.get_experiment(client.get_run(comparison.run_id).info.experiment_id).name


class TestQuestion:
    """Which runs, under which labels."""

    def test_run_ids_frames_and_filters_ask_the_same(self, comparison: Comparison, server: str) -> None:
        """However the runs are given, in that order."""
        frame = comparison.runs
        by_id = compare(list(frame["run_id"])[::-1], topk=500, log=False, tracking_uri=server)
        assert list(by_id.matrix.index) == NAMES[::-1]
        by_frame = compare(frame, topk=500, log=False, tracking_uri=server)
        pd.testing.assert_frame_equal(by_frame.matrix, comparison.matrix)
        some = compare(
            experiment_names="pronouns",
            filter_string="tags.`gradiend.run_id` LIKE '1SG%'",
            topk=500,
            log=False,
            tracking_uri=server,
        )
        assert list(some.matrix.index) == NAMES[1:]

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            ("run_name", NAMES),
            (lambda row: "+".join(row["target_classes"]), ["3SG+3PL", "1SG+1PL", "1SG+3SG"]),
            ("seed", ["0 (3SG_3PL)", "0 (1SG_1PL)", "0 (1SG_3SG)"]),
        ],
    )
    def test_labels_are_a_column_or_a_callable_and_never_clash(
        self, labels: Any, expected: list[str], comparison: Comparison, server: str
    ) -> None:
        """A column, a callable, and labels that clash, told apart by what differs."""
        labelled = compare(comparison.runs, labels=labels, topk=500, log=False, tracking_uri=server)
        assert list(labelled.matrix.columns) == expected
        assert list(labelled.sets) == labelled.runs["label"].tolist() == expected

    def test_a_mapping_labels_every_run(self, comparison: Comparison, server: str) -> None:
        """From run ids; a run that is missing in it is named."""
        names = dict(zip(comparison.runs["run_id"], "abc", strict=True))
        labelled = compare(comparison.runs, labels=names, topk=500, log=False, tracking_uri=server)
        assert list(labelled.matrix.index) == list("abc")
        missing = names.popitem()[0]
        with pytest.raises(InvalidInputError, match=f"labels has no entry for the run {missing}"):
            compare(comparison.runs, labels=names, topk=500, log=False, tracking_uri=server)

    def test_labels_that_clash_are_never_merged(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """Runs of one name are told apart by their ids, at last."""
        for _ in range(2):
            log_model(tracking, make_model([("w", (50,), "all")]), run_name="same")
        found = compare(topk=5, log=False)
        assert list(found.matrix.index) == [f"same ({run_id[:8]})" for run_id in found.runs["run_id"]]

    def test_bad_questions_are_refused(self, comparison: Comparison, server: str, tracking: MlflowClient) -> None:
        """Too few runs, two ways at once, unknown labels and values."""
        with pytest.raises(InvalidInputError, match="at least two runs with top-k sets; found 0: none"):
            compare()
        with pytest.raises(InvalidInputError, match="found 1"):
            compare(comparison.runs.head(1), tracking_uri=server)
        with pytest.raises(InvalidInputError, match="not both"):
            compare(comparison.runs, experiment_names="pronouns")
        with pytest.raises(InvalidInputError, match="labels names the column 'color'; there are: label, run_id"):
            compare(comparison.runs, labels="color", tracking_uri=server)
        with pytest.raises(InvalidInputError, match="must be a column, a mapping or a callable; got int"):
            compare(comparison.runs, labels=3, tracking_uri=server)
        with pytest.raises(InvalidInputError, match="value must be one of"):
            compare(comparison.runs, value="dice", tracking_uri=server)

    def test_conflicting_spaces_name_the_runs(self, tracking: MlflowClient) -> None:
        """Different base models under one parameter name."""
        for name, size in (("small", 20), ("large", 30)):
            log_model(tracking, make_model([("bert.query", (size, 2), "all")]), run_name=name)
        with pytest.raises(SpaceConflictError, match=r"'small' and 'large' .*'bert\.query'"):
            compare(topk=5)
        assert tracking.search_runs(["0"], "tags.`gradiend.kind` = 'comparison'") == []

    def test_fractions_are_of_each_runs_own_inputs(self, tracking: MlflowClient) -> None:
        """A pruned run contributes fewer weights."""
        model = make_model([("w", (100,), "all")])
        for candidate in (model, model.prune(topk=50)):
            log_model(tracking, candidate)
        found = compare(topk=0.1, log=False)
        assert found.overlap.sizes.tolist() == [10, 5]
        assert found.matrix.iloc[0, 1] == 1.0


class TestFigures:
    """`comparison.plot_heatmap` and `comparison.plot_venn`."""

    def test_they_draw_the_comparison(self, comparison: Comparison) -> None:
        """On given axes or new ones; options are passed on."""
        figure = comparison.plot_heatmap(title="Pronouns", row_metric="correlation", figsize="text")
        assert figure.get_figwidth() == 7
        (axes,) = figure.axes
        marks = ["†" if converged is False else "" for converged in comparison.runs["converged"]]
        expected = [name + mark for name, mark in zip(NAMES, marks, strict=True)]
        assert [label.get_text() for label in axes.get_xticklabels()] == expected
        assert axes.child_axes[0].get_xticklabels()[0].get_text() == "correlation"
        shown = [text.get_text() for text in axes.child_axes[0].texts]
        assert shown == [f"{correlation:.2f}" for correlation in comparison.runs["correlation"]]
        assert axes.get_title() == "Pronouns"
        assert comparison.plot_venn(ax=axes) is axes
        assert comparison.plot_curve(axes, ks=[1, 500]) is axes
        assert comparison.plot_upset().axes[0].get_xlim()[1] == len(comparison.regions)
        names = [label.get_text() for label in comparison.plot_layers().axes[1].get_xticklabels()]
        several, everywhere = (int((comparison.overlap.presence >= least).sum()) for least in (2, 3))
        shared = [name.replace("\n", " ") for name in names[len(NAMES) :] if name != "of these, same sign"]
        assert names[: len(NAMES)] == NAMES
        assert shared == [f"in ≥ 2 runs: {several} weights", f"in all runs: {everywhere} weights"]
        marked = [line for line in axes.lines if list(line.get_xdata()) == [500, 500]]
        assert len(marked) == 1, "the k that was compared"

    def test_a_column_beside_the_rows(self, comparison: Comparison) -> None:
        """Any that has numbers, also params, which MLflow keeps as text."""
        rates = [0.1 * (row + 1) for row in range(len(comparison.runs))]
        runs = comparison.runs.assign(**{"params.learning_rate": [*map(str, rates)]})
        axes = replace(comparison, runs=runs).plot_heatmap(row_metric="params.learning_rate").axes[0]
        assert axes.child_axes[0].get_xticklabels()[0].get_text() == "learning_rate"
        np.testing.assert_allclose(axes.child_axes[0].images[0].get_array()[:, 0], rates)
        with pytest.raises(InvalidInputError, match=r"no column 'nope'; they have label, "):
            comparison.plot_heatmap(row_metric="nope")
        with pytest.raises(InvalidInputError, match=r"row_metric must be numbers; 'label' has"):
            comparison.plot_heatmap(row_metric="label")

    def test_more_than_six_have_no_venn(self, tracking: MlflowClient, tmp_path: Path) -> None:
        """The error proposes the heatmap; the logged comparison has no venn file."""
        for shift in range(7):
            topk_set = TopKSet.from_indices(range(shift, shift + 5), space=WeightSpace(("w",), ((20,),)))
            run_id = log_set(tracking, tmp_path, topk_set)
            file = tmp_path / "decoder-weight.parquet"
            tag_set(tracking, run_id, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
        found = compare(topk=5)
        with pytest.raises(InvalidInputError, match=r"got 7.*plot_heatmap"):
            found.plot_venn()
        names = {item.path for item in tracking.list_artifacts(found.run_id)}
        assert "overlap_heatmap.png" in names
        assert not any(name.startswith("venn") for name in names)
        assert found.matrix.iloc[0].round(2).tolist() == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
