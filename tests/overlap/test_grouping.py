"""Groups of parameters: gradiend's names, gradiend's numbers within them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gradiend.comparison.similarity import _group_name_from_param, compute_grouped_similarity_matrices
from gradiend.trainer.suite.definitions import _GradiendOnlyModel
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import InvalidInputError, TopKSet, WeightSpace, compute_overlap
from gradiend_mlflow.overlap.grouping import SHARED_BY_ALL, SHARED_BY_TWO
from gradiend_mlflow.overlap.statistics.groups import UNGROUPED, complete_groups
from gradiend_mlflow.sets.anatomy.naming import gradiend_component_of, gradiend_layer_of
from tests.support.checkpoints import make_model

PIECES = (  # noqa: SIM905  # fifty quoted words do not read
    "bert encoder decoder layer layers h 0 1 11 attention self query key value q_proj k_proj v_proj o_proj out_proj "
    "output intermediate dense LayerNorm embeddings word_embeddings lm_head classifier score mlp up_proj gate_proj "
    "down_proj fc1 fc2 ln_1 norm wq wk wv pooler weight bias model path"
).split()
PARAMETERS = [
    ("bert.embeddings.word_embeddings.weight", (6, 2), "all"),
    ("bert.encoder.layer.0.attention.self.query.weight", (4, 2), "all"),
    ("bert.encoder.layer.0.attention.output.dense.weight", (4, 2), "mask"),
    ("bert.encoder.layer.1.attention.self.query.weight", (4, 2), "indices"),
    ("bert.encoder.layer.1.intermediate.dense.weight", (4, 2), "all"),
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map(".".join))
@settings(max_examples=500)
def test_names_are_gradiends(param: str) -> None:
    """For anything that looks like a parameter."""
    assert gradiend_layer_of(param) == _group_name_from_param(param, "layer")
    assert gradiend_component_of(param) == _group_name_from_param(param, "component")


@pytest.mark.parametrize("group_by", ["layer", "component", "param", lambda name: name[:20]])
@pytest.mark.parametrize("latent_dim", [1, 3])
def test_equals_gradiends_grouped_cosines(group_by: Any, latent_dim: int) -> None:
    """The same groups, the same matrix in each."""
    models = {
        label: make_model(PARAMETERS, latent_dim=latent_dim, seed=seed) for seed, label in enumerate(("a", "b", "c"))
    }
    models["b"] = models["b"].prune(topk=20)
    overlap = compute_overlap({label: TopKSet.from_model(model, topk=12) for label, model in models.items()})
    adapted = {label: _GradiendOnlyModel(model) for label, model in models.items()}
    for model in adapted.values():
        model.gradiend.decode_base_global_index = _decoder(model.gradiend)
    ours = overlap.by_group(group_by, naming="gradiend")
    for measure in ("cosine", "cosine_signed"):
        theirs = compute_grouped_similarity_matrices(
            adapted, measure=measure, part="decoder-weight", topk=12, group_by=group_by
        )
        assert set(ours.groups) == set(theirs)
        for group, part in ours.overlaps.items():
            np.testing.assert_allclose(part.values(measure), theirs[group]["matrix"], atol=1e-6)


def _decoder(model: Any) -> Any:
    """What a ModelWithGradiend adds: the parameter of a base-global index."""
    if hasattr(model, "decode_base_global_index"):
        return model.decode_base_global_index
    space = TopKSet.from_model(model, topk=1).space
    return lambda index: {"param_name": space.names[space.locate(np.array([index]))[0][0]]}


def example() -> dict[str, TopKSet]:
    """Two sets over two layers, of which the second set selects one."""
    space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
    half = WeightSpace(("layer.1.key",), ((4,),))
    return {
        "a": TopKSet.from_indices([0, 1, 4, 5], space=space),
        "b": TopKSet.from_indices([0, 1, 2], space=half),
    }


def test_share_and_overlap_per_group() -> None:
    """Shares sum to 1; measures and chance levels are those within the group."""
    layers = compute_overlap(example()).by_layer()
    assert layers.share().to_dict() == {"a": {"layer_0": 0.5, "layer_1": 0.5}, "b": {"layer_0": 0, "layer_1": 1}}
    frame = layers.to_frame().set_index("group")
    assert frame.loc["layer_1"].to_dict() == {
        "a": "a",
        "b": "b",
        "weights_a": 2,
        "weights_b": 3,
        "shared": 2,
        "intersection_frac": 1.0,
        "lift": pytest.approx(2 / (2 * 3 / 4)),
    }
    assert np.isnan(frame.loc["layer_0", "intersection_frac"]), "b has no weight there that could agree or not"
    assert layers.overlaps["layer_1"].chance().population.tolist() == [[4, 4], [4, 4]]
    assert layers.overlaps["layer_0"].chance().population.tolist() == [[4, 0], [0, 0]]


def test_groups_partition_the_overlap() -> None:
    """The shared weights of all groups are those of the sets, however one groups."""
    overlap = compute_overlap(example())
    for groups in (overlap.by_layer(), overlap.by_component(), overlap.by_param(), overlap.by_group({})):
        total = sum(part.intersection for part in groups.overlaps.values())
        np.testing.assert_array_equal(total, overlap.intersection)
    assert overlap.by_param().groups == ("layer.0.query", "layer.1.key")
    assert overlap.by_component().groups == ("attention_query", "attention_key")
    assert overlap.by_group({}).groups == ("other",)


def test_measures_of_a_set_that_has_nothing_there() -> None:
    """0 for all of them, as in gradiend."""
    sets = {name: replace(s, weights=np.ones((len(s), 1))) for name, s in example().items()}
    part = compute_overlap(sets).by_layer().overlaps["layer_0"]
    for value in ("intersection_frac", "jaccard", "mass_overlap", "cosine", "rbo"):
        np.testing.assert_allclose(part.values(value), [[1, 0], [0, 0]])


def test_what_belongs_to_no_group_is_other() -> None:
    """A callable may say None; a mapping that names no parameter at all is a mistake."""
    overlap = compute_overlap(example())
    assert overlap.by_group(lambda param: "first" if ".0." in param else None).groups == ("first", "other")
    with pytest.raises(
        InvalidInputError, match=r"names none of the parameters; it has 'a', \.\.\., the parameters are 'layer"
    ):
        overlap.by_group({"a": "b"})


@pytest.mark.parametrize("grouping", ["head", 3])
def test_unknown_groupings_are_refused(grouping: Any) -> None:
    """With the known ones."""
    with pytest.raises(InvalidInputError, match="grouping must be"):
        compute_overlap(example()).by_group(grouping)


def signed(signs: list[int]) -> TopKSet:
    """The weights 0, 1, ... over two layers of three, with these signs."""
    space = WeightSpace(("layer.0.query", "layer.1.key"), ((3,), (3,)))
    return replace(TopKSet.from_indices(range(len(signs)), space=space), weights=np.array(signs, dtype=float)[:, None])


def test_what_sets_share_lies_in_groups_too() -> None:
    """Each column sums to 1, or is NaN if nothing is shared."""
    layers = compute_overlap(example() | {"c": TopKSet.from_indices([0, 5], space=example()["a"].space)}).by_layer()
    assert layers.share_of_shared().to_dict() == {
        SHARED_BY_TWO: {"layer_0": 1 / 3, "layer_1": 2 / 3},
        SHARED_BY_ALL: {"layer_0": 0, "layer_1": 1},
    }
    apart = compute_overlap({name: TopKSet.from_indices([i], space=9) for i, name in enumerate("ab")})
    assert apart.by_layer().share_of_shared().isna().all(axis=None)


def test_signs_of_what_sets_share() -> None:
    """A shared weight counts as agreeing if all its holders have one sign, none of them 0."""
    sets = {"a": signed([1, 1, 1, 1, 0]), "b": signed([1, -1, 1, 1, 0]), "c": signed([1, 1])}
    frame = compute_overlap(sets).by_layer().same_sign()
    assert frame[SHARED_BY_TWO].to_dict() == {"layer_0": pytest.approx(2 / 3), "layer_1": 0.5}
    assert frame[SHARED_BY_ALL].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    unknown = compute_overlap({name: TopKSet.from_indices([1], space=9) for name in "ab"}).by_layer()
    assert unknown.same_sign().isna().all(axis=None)


def test_groups_of_runs() -> None:
    """By label or by group; what they do not name comes last."""
    assert complete_groups({"x": ["b"], "y": ("a",)}, ["a", "b", "c"]) == {"b": "x", "a": "y", "c": UNGROUPED}
    assert complete_groups({"a": "x"}, ["a"]) == {"a": "x"}
    with pytest.raises(InvalidInputError, match="groups names d; the runs are: a"):
        complete_groups({"d": "x"}, ["a"])
