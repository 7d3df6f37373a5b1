"""Overlaps: gradiend's numbers, and the laws of sets."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from gradiend.comparison import compute_similarity_matrix, similarity
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import InvalidInputError, SpaceConflictError, TopKSet, WeightSpace, compute_overlap
from tests.support.checkpoints import Kind, kinds, model_of
from tests.support.sets import SIZE, families


def plain(family: dict[str, TopKSet]) -> dict[str, set[int]]:
    """The same as Python sets."""
    return {label: set(topk_set.base_global_indices().tolist()) for label, topk_set in family.items()}


@given(families())
def test_matrices_are_those_of_python_sets(family: dict[str, TopKSet]) -> None:
    """Counts, fractions of the smaller set, and the Jaccard index."""
    overlap, sets = compute_overlap(family), list(plain(family).values())
    for (i, a), (j, b) in itertools.product(enumerate(sets), repeat=2):
        assert overlap.intersection[i, j] == len(a & b)
        assert overlap.intersection_frac[i, j] == len(a & b) / min(len(a), len(b))
        assert overlap.jaccard[i, j] == len(a & b) / len(a | b)
    assert overlap.sizes.tolist() == [len(a) for a in sets]


@given(families())
def test_laws_of_the_matrices(family: dict[str, TopKSet]) -> None:
    """Symmetric, bounded, one on the diagonal, Jaccard below the fraction."""
    overlap = compute_overlap(family)
    for matrix in (overlap.intersection_frac, overlap.jaccard):
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 1).all()
        assert ((matrix >= 0) & (matrix <= 1)).all()
    assert (overlap.jaccard <= overlap.intersection_frac).all()
    assert (np.diag(overlap.intersection) == overlap.sizes).all()


@given(families())
def test_regions_partition_the_union(family: dict[str, TopKSet]) -> None:
    """Every weight lies in exactly one region; the regions of a set sum to its size."""
    overlap, sets = compute_overlap(family), plain(family)
    union = set().union(*sets.values())
    expected: dict[tuple[str, ...], int] = {}
    for weight in union:
        holders = tuple(label for label, members in sets.items() if weight in members)
        expected[holders] = expected.get(holders, 0) + 1
    assert overlap.regions == expected
    assert sum(overlap.regions.values()) == overlap.union_size == len(union)
    for label, members in sets.items():
        assert sum(size for holders, size in overlap.regions.items() if label in holders) == len(members)
    assert list(overlap.regions.values()) == sorted(overlap.regions.values(), reverse=True)


@given(families(), st.randoms(use_true_random=False))
def test_order_and_labels_do_not_matter(family: dict[str, TopKSet], random: Any) -> None:
    """Shuffled sets give the shuffled matrix; new labels only rename."""
    order = random.sample(list(family), len(family))
    shuffled = compute_overlap({label: family[label] for label in order})
    matrix = compute_overlap(family).to_frame("jaccard")
    np.testing.assert_array_equal(shuffled.to_frame("jaccard"), matrix.loc[order, order])


@pytest.mark.skipif(
    not hasattr(similarity, "topk_base_indices"), reason="this gradiend compares inputs of models, not weights"
)
@given(st.lists(kinds(), min_size=2, max_size=3), st.data())
@settings(max_examples=30, deadline=None)
def test_equals_gradiends_similarity_matrix(candidates: list[Kind], data: st.DataObject) -> None:
    """For models over one parameter selection, pruned and fractional: gradiend's matrix, both values."""
    first = candidates[0]
    part = data.draw(st.sampled_from(["encoder-weight", "decoder-weight", "decoder-sum"]))
    topk = data.draw(st.one_of(st.integers(1, 20), st.floats(0.05, 1.0)))
    models = {}
    for label, candidate in zip("abc", candidates, strict=False):
        # Random floats, so that no tie makes two answers right.
        kind = Kind(first.parameters, candidate.latent_dim, bias=candidate.bias, seed=candidate.seed)
        model = model_of(kind)
        prune_to = data.draw(st.integers(1, model.input_dim))
        models[label] = model.prune(topk=prune_to, part="decoder-weight")
    overlap = compute_overlap(
        {label: TopKSet.from_model(model, part=part, topk=topk) for label, model in models.items()}
    )
    for value in ("intersection", "intersection_frac"):
        theirs = compute_similarity_matrix(models, measure="topk_overlap", part=part, topk=topk, value=value)
        np.testing.assert_array_equal(overlap.values(value), np.array(theirs["matrix"]))
        assert list(overlap.labels) == theirs["model_ids"]


def test_weights_are_matched_by_name_where_gradiend_matches_numbers() -> None:
    """Two selections of one model's parameters: the same weight has two base-global indices."""
    whole = WeightSpace(("query", "key"), ((2, 2), (2, 2)))
    half = WeightSpace(("key",), ((2, 2),))
    a = TopKSet.from_indices([4, 5, 0], space=whole)  # key 0, key 1, query 0
    b = TopKSet.from_indices([0, 3], space=half)  # key 0, key 3
    overlap = compute_overlap({"whole": a, "half": b})
    assert overlap.intersection.tolist() == [[3, 1], [1, 2]]
    assert set(a.base_global_indices()) & set(b.base_global_indices()) == {0}, "as numbers, query 0 is key 0"
    assert overlap.space.names == ("query", "key")


def test_base_models_of_other_names_and_equal_shapes_are_compared() -> None:
    """A name is no shape: a base model is often a path that differs between machines."""
    a = TopKSet.from_indices([1], space=WeightSpace(("w",), ((4,),), base_model="here"))
    b = TopKSet.from_indices([1], space=WeightSpace(("w",), ((4,),), base_model="there"))
    overlap = compute_overlap({"a": a, "b": b})
    assert overlap.intersection[0, 1] == 1
    assert overlap.space.base_model is None


def test_conflicting_shapes_are_refused_with_both_names() -> None:
    """The same parameter of another shape is another model."""
    a = TopKSet.from_indices([1], space=WeightSpace(("w", "bert.query"), ((4,), (4, 4)), base_model="small"))
    b = TopKSet.from_indices([1], space=WeightSpace(("bert.query",), ((8, 8),), base_model="large"))
    with pytest.raises(
        SpaceConflictError,
        match=r"'first' and 'second' .*'bert\.query' has the shape \(4, 4\).*\(8, 8\).*'small' and 'large'",
    ):
        compute_overlap({"first": a, "second": b})


def test_a_hundred_sets_have_regions() -> None:
    """Only combinations that occur are visited."""
    family = {str(i): TopKSet.from_indices([i, 200], space=201) for i in range(100)}
    overlap = compute_overlap(family)
    assert overlap.regions[tuple(map(str, range(100)))] == 1
    assert len(overlap.regions) == 101


@pytest.mark.parametrize(
    ("sets", "message"), [({}, "at least one set"), ({"a": [1, 2]}, r"sets\['a'\] must be a TopKSet; got list")]
)
def test_what_is_no_set_is_refused(sets: Any, message: str) -> None:
    """Nothing, or something else."""
    with pytest.raises(InvalidInputError, match=message):
        compute_overlap(sets)


def test_unknown_value_names_the_known() -> None:
    """As for every choice."""
    overlap = compute_overlap({"a": TopKSet.from_indices([1], space=2)})
    with pytest.raises(
        InvalidInputError,
        match="mass_overlap, cosine, cosine_signed, spearman, spearman_signed, sign_agreement, rbo; got 'dice'",
    ):
        overlap.to_frame("dice")


def test_core_union_and_presence() -> None:
    """In all sets, in at least one, in how many."""
    sets = {"a": [5, 1, 2], "b": [2, 1], "c": [1, 9]}
    overlap = compute_overlap({label: TopKSet.from_indices(ids, space=10) for label, ids in sets.items()})
    assert overlap.keys.tolist() == [1, 2, 5, 9]
    assert overlap.presence.tolist() == [3, 2, 1, 1]
    assert overlap.core.tolist() == [1]
    assert overlap.union_size == 4


@given(families(), st.integers(1, SIZE))
def test_the_top_of_an_overlap_is_the_overlap_of_the_tops(family: dict[str, TopKSet], k: int) -> None:
    """Cutting before or after makes no difference."""
    after = compute_overlap(family).top(k)
    before = compute_overlap({label: topk_set.top(min(k, len(topk_set))) for label, topk_set in family.items()})
    for name in ("intersection", "mass_overlap", "rbo", "keys", "presence", "core"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert after.regions == before.regions
