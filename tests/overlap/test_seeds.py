"""Several seeds of a training: gradiend's selections, aggregates and Venn policies."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from gradiend.comparison import compute_similarity_matrix, similarity
from gradiend.comparison.seed_policy import models_for_comparison
from gradiend.trainer.suite.definitions import _GradiendOnlyModel
from gradiend.visualizer.topk.venn_ import compute_topk_sets
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, TopKSet, compare, compute_overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap, SeedPolicy
from tests.support.checkpoints import make_model
from tests.support.trainings import MakeTrainer

PARAMETERS = [("a.weight", (6, 4), "all"), ("b.weight", (8,), "mask")]
MEASURES = ("topk_overlap", "mass_overlap", "cosine", "cosine_signed")


def seed_models(sizes: tuple[int, ...], latent_dim: int) -> dict[str, list[Any]]:
    """Some trainings of some seeds each, pruned to different sizes."""
    seed = itertools.count()
    return {
        f"run {index}": [
            make_model(PARAMETERS, latent_dim=latent_dim, seed=next(seed)).prune(topk=24 - index) for _ in range(size)
        ]
        for index, size in enumerate(sizes)
    }


def aggregated(models: dict[str, list[Any]], topk: float, policy: SeedPolicy) -> SeedOverlap:
    """Our overlap of the same."""
    flat = [model for group in models.values() for model in group]
    sets = {str(index): TopKSet.from_model(model, topk=topk) for index, model in enumerate(flat)}
    rows = iter(range(len(flat)))
    members = tuple(tuple(next(rows) for _ in group) for group in models.values())
    return SeedOverlap(tuple(models), compute_overlap(sets), members, policy)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("aggregate", ["mean", "median", "min", "max"])
@pytest.mark.parametrize(
    ("pairing", "case"),
    [("matched", ((3, 3, 3), 1, 10)), ("all_pairs", ((2, 3, 1), 2, 0.4))],
)
def test_equals_gradiends_aggregates(
    measure: str, aggregate: Any, pairing: Any, case: tuple[tuple[int, ...], int, float]
) -> None:
    """Numbers, how many pairs of seeds stand behind them, and their spread."""
    sizes, latent_dim, topk = case
    models = seed_models(sizes, latent_dim)
    adapted = {name: [_GradiendOnlyModel(model) for model in group] for name, group in models.items()}
    value = "intersection_frac" if measure == "topk_overlap" else measure
    for dispersion, field in (("std", "std"), ("range", "range_half_width"), ("minmax", "minmax")):
        if dispersion == "range" and aggregate in ("min", "max"):
            continue
        policy = SeedPolicy("all_tried", aggregate, dispersion, pairing)
        ours = aggregated(models, topk, policy)
        theirs = compute_similarity_matrix(
            adapted,
            measure=measure,
            part="decoder-weight",
            topk=topk,
            seed_aggregate=aggregate,
            dispersion=dispersion,
            seed_pairing_mode=pairing,
        )
        np.testing.assert_allclose(ours.values(value), theirs["matrix"], rtol=1e-5, atol=1e-7)
        assert ours.n.tolist() == theirs["n_matrix"]
        spreads = [[cell[field] for cell in row] for row in theirs["cell_stats"]]
        np.testing.assert_allclose(ours.dispersion(value), spreads, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(
    not hasattr(similarity, "topk_base_indices"), reason="this gradiend compares inputs of models, not weights"
)
@pytest.mark.parametrize("policy", ["primary", "union", "intersection"])
def test_equals_gradiends_venn_policies(policy: Any) -> None:
    """One set per training, of all its seeds."""
    models = seed_models((3, 2, 1), 1)
    ours = aggregated(models, 12, SeedPolicy("all_tried", "mean", "none", "all_pairs", policy)).collapsed
    theirs, core, union = compute_topk_sets(models, topk=12, seed_group_policy=policy)
    for label, columns in zip(ours.labels, ours.ranked.columns, strict=True):
        assert set(ours.keys[columns].tolist()) == set(theirs[label])
    assert ours.core.tolist() == core
    assert ours.keys.tolist() == union
    assert sum(ours.regions.values()) == len(union)


def test_a_union_has_no_ranks() -> None:
    """Measures that need them say so; chance levels do not need them."""
    collapsed = aggregated(
        seed_models((2, 2), 1), 9, SeedPolicy("all_tried", "mean", seed_group_policy="union")
    ).collapsed
    with pytest.raises(InvalidInputError, match="the ranks of 'run 0' are not known"):
        collapsed.values("rbo")
    assert collapsed.chance().expected[0, 1] == pytest.approx(collapsed.sizes.prod() / 32)


def test_an_intersection_may_be_empty() -> None:
    """Seeds that share nothing leave an empty set, with which nothing is shared."""
    lists = {"a0": [0], "a1": [1], "b0": [2], "b1": [3]}
    overlap = compute_overlap({label: TopKSet.from_indices(indices, space=9) for label, indices in lists.items()})
    policy = SeedPolicy("all_tried", "mean", seed_group_policy="intersection")
    collapsed = SeedOverlap(("a", "b"), overlap, ((0, 1), (2, 3)), policy).collapsed
    assert (collapsed.regions, collapsed.union_size, collapsed.core.tolist()) == ({}, 0, [])
    assert collapsed.jaccard.tolist() == [[0, 0], [0, 0]]
    assert collapsed.chance().expected.tolist() == [[0, 0], [0, 0]]


def test_matched_seeds_need_equal_numbers() -> None:
    """As in gradiend; the error proposes all pairs."""
    with pytest.raises(InvalidInputError, match=r"'run 0' has 2, 'run 1' has 3\. Pass seed_pairing_mode='all_pairs'"):
        aggregated(seed_models((2, 3), 1), 9, SeedPolicy("all_tried", "mean"))


@pytest.mark.parametrize(
    ("members", "seeds"),
    [(((0,), (2,)), None), (((0,), (0,)), None), (((0,), ()), None), (((0,),), None), (((0,), (1,)), (0,))],
)
def test_members_are_rows_of_the_overlap(members: Any, seeds: Any) -> None:
    """Each at most once, at least one of each training; as many seed numbers as there are rows."""
    overlap = compute_overlap({label: TopKSet.from_indices([1], space=9) for label in "ab"})
    with pytest.raises(InvalidInputError, match=r"members must name the rows|seeds must have a number"):
        SeedOverlap(("a", "b"), overlap, members, SeedPolicy("all_tried", "mean", "none", "all_pairs"), seeds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": "some"}, "seeds must be one of best, all_convergent, all_tried; got 'some'"),
        ({"seed_aggregate": "mean"}, "pass seeds='all_convergent' or 'all_tried' too"),
        (
            {"seeds": "all_tried", "dispersion": "std"},
            "dispersion='std' needs aggregated seeds: pass seed_aggregate too",
        ),
        ({"seeds": "all_tried", "seed_aggregate": "sum"}, "seed_aggregate must be one of mean"),
        (
            {"seeds": "all_tried", "seed_aggregate": "max", "dispersion": "range"},
            "around the max: pass dispersion='minmax'",
        ),
        ({"seeds": "all_tried", "seed_pairing_mode": "some"}, "seed_pairing_mode must be"),
        ({"seeds": "all_tried", "seed_group_policy": "some"}, "seed_group_policy must be"),
    ],
)
def test_other_choices_are_refused(options: Any, message: str) -> None:
    """Before anything is asked of the server."""
    with pytest.raises(InvalidInputError, match=message):
        compare(**options)


class TestTrainings:
    """Real trainings of several seeds, from their child runs."""

    @pytest.fixture
    def trainers(self, make_trainer: MakeTrainer) -> dict[str, Any]:
        """Two trainings of two seeds, tracked."""
        gradiend_mlflow.autolog(topk=500)
        trainers = {}
        for pair in (("3SG", "3PL"), ("1SG", "1PL")):
            trainer = make_trainer(*pair, max_seeds=2, min_convergent_seeds=None, saved_seed_runs="all_tried")
            trainer.train()
            trainers[trainer.run_id] = trainer
        gradiend_mlflow.autolog(disable=True)
        return trainers

    def test_they_equal_gradiends_own_comparison(self, trainers: dict[str, Any], tracking: MlflowClient) -> None:
        """Every selection, from gradiend's checkpoints and from our artifacts."""
        for seeds in ("best", "all_convergent", "all_tried"):
            models = {
                name: models_for_comparison(trainer, seed_selection=seeds, gradiend_only=True)[0]
                for name, trainer in trainers.items()
            }
            theirs = compute_similarity_matrix(
                models, measure="topk_overlap", topk=100, seed_pairing_mode="all_pairs", seed_aggregate="median"
            )
            aggregate = None if seeds == "best" else "median"
            ours = compare(seeds=seeds, seed_aggregate=aggregate, seed_pairing_mode="all_pairs", topk=100, log=False)
            np.testing.assert_allclose(ours.matrix, theirs["matrix"])
            assert list(ours.matrix.index) == theirs["model_ids"]
            assert ours.skipped == ()

        rows = compare(seeds="all_tried", topk=100)
        assert list(rows.matrix.index) == [f"{name} (seed {seed})" for name in trainers for seed in (0, 1)]
        assert rows.runs["training_run_id"].nunique() == 2

        first = rows.runs["training_run_id"][0]
        with pytest.raises(InvalidInputError, match="are also seeds of others that are: " + rows.runs["run_id"][0]):
            compare([first, rows.runs["run_id"][0]], seeds="all_tried", topk=100)
        named = compare(
            rows.runs["training_run_id"].unique(),
            seeds="all_tried",
            labels=dict(zip(rows.runs["training_run_id"], "AABB", strict=True)),
            groups={first: "mine"},
            topk=100,
            log=False,
        )
        assert named.groups == {
            "A (seed 0)": "mine", "A (seed 1)": "mine", "B (seed 0)": "Other", "B (seed 1)": "Other"
        }  # fmt: skip

        seen = compare(seeds="all_tried", seed_aggregate="mean", dispersion="std", seed_group_policy="union", topk=100)
        assert list(seen.sets) == list(rows.matrix.index)
        assert set(itertools.chain(*seen.regions)) == set(trainers)
        table = seen.to_frame()
        assert table.columns.tolist() == ["a", "b", "intersection_frac", "seed_pairs", "std"]
        note = tracking.get_run(seen.run_id).data.tags["mlflow.note.content"]
        assert "The two runs share " in note
        assert "(mean over 4 seeds; " in note
        assert f"runs/{rows.runs['training_run_id'][0]})" in note

    def test_trainings_without_seeds_stand_for_themselves(self, logged: Any, server: str) -> None:
        """As in gradiend; a note says so."""
        compared = compare(experiment_names="pronouns", seeds="all_tried", topk=100, log=False, tracking_uri=server)
        assert compared.matrix.shape == (3, 3)
        assert compared.notes[0] == (
            "Fewer than two seeds are logged, so the selected model stands alone: 3SG_3PL, 1SG_1PL, 1SG_3SG."
        )
