"""Heads, neurons and tokens as groups of weights, against a count of every weight that the base model has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gradiend_mlflow import InvalidInputError, Overlap, TopKSet, WeightSpace, compute_overlap
from gradiend_mlflow.overlap.shared_weights import special_tokens_note
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.anatomy.heads import Heads
from gradiend_mlflow.sets.anatomy.places import places

SPACE = WeightSpace(
    (
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
        "model.norm.weight",
    ),
    ((6, 4), (8, 4), (8,), (4, 4), (4, 8), (8, 4), (16, 4), (4,)),
)
KNOWN = Anatomy(Heads(4, 2), 6, {0: "[MASK]", 1: "the", 3: "the"}, frozenset({0}))


@pytest.fixture
def overlap() -> Overlap:
    """Three sets of 60 random weights."""
    rng = np.random.default_rng(0)
    draws = {label: rng.choice(SPACE.size, 60, replace=False) for label in "abc"}
    return compute_overlap(
        {label: replace(TopKSet.from_indices(drawn, space=SPACE), anatomy=KNOWN) for label, drawn in draws.items()}
    )


def every_weight() -> pd.DataFrame:
    """A row per weight of the base model, with what it is."""
    param_ids, offsets = SPACE.locate(np.arange(SPACE.size))
    frame = places(*SPACE.params, KNOWN, param_ids, offsets)
    frame["param"] = np.array(SPACE.names, dtype=object)[param_ids]
    frame["row"] = [int(offset) // (SPACE.shapes[i][-1]) for i, offset in zip(param_ids, offsets, strict=True)]
    return frame


def expected_names(kind: str) -> pd.Series:
    """The group of every weight, said another way."""
    frame = every_weight()
    if kind == "head":
        names = frame["layer"] + " head " + frame["head"]
    elif kind == "neuron":
        names = (frame["param"] + "[" + frame["neuron"].astype("string") + "]").astype(object)
    else:
        rows = "row " + frame["row"].astype("string")
        names = frame["token"].fillna(rows).where(frame["param"] == SPACE.names[0])
    return names.where(names.notna(), "other")


@pytest.mark.parametrize("kind", ["head", "neuron", "token"])
def test_groups_are_those_of_their_weights(overlap: Overlap, kind: str) -> None:
    """Sizes, shared weights, and the population that chance draws from."""
    grouped = {"head": overlap.by_head, "neuron": lambda: overlap.by_neuron(most=99), "token": overlap.by_token}[
        kind
    ]()
    names = expected_names(kind)
    held = pd.DataFrame(
        {
            label: np.isin(np.arange(SPACE.size), overlap.keys[own])
            for label, own in zip("abc", overlap.ranked.columns, strict=True)
        }
    )
    assert set(grouped.groups) == set(names[held.any(axis=1)])
    for group, part in grouped.overlaps.items():
        inside = (names == group).to_numpy()
        counts = held[inside].astype(int)
        np.testing.assert_array_equal(part.intersection, counts.T @ counts)
        populated = part.chance().population
        assert populated[0, 1] == inside.sum(), group
    np.testing.assert_allclose(grouped.share().sum(), 1)


def test_other_measures_stay_what_they_are_within_a_group(overlap: Overlap) -> None:
    """A head's mass overlap is that of its weights alone."""
    part = overlap.by_head().overlaps["layer_0 head 1"]
    names = expected_names("head").to_numpy()
    keep = [names[overlap.keys[own]] == "layer_0 head 1" for own in overlap.ranked.columns]
    np.testing.assert_allclose(part.mass_overlap, overlap.restricted(keep).mass_overlap)
    np.testing.assert_allclose(part.rbo, overlap.restricted(keep).rbo)


def test_only_the_largest_are_told_apart(overlap: Overlap) -> None:
    """The rest is "other", and nothing is lost."""
    grouped = overlap.by_neuron(most=3)
    assert len(grouped.groups) == 4
    everything = overlap.by_neuron(most=10**6)
    held = {group: part.sizes.sum() for group, part in everything.overlaps.items() if group != "other"}
    smallest = min(grouped.overlaps[group].sizes.sum() for group in grouped.groups if group != "other")
    assert sorted(held.values())[-3] == smallest
    np.testing.assert_array_equal(sum(part.intersection for part in grouped.overlaps.values()), overlap.intersection)


def test_without_names(overlap: Overlap) -> None:
    """Files of version 1 know neither heads nor tokens; neurons need no name."""
    bare = replace(overlap, anatomy=Anatomy())
    assert bare.by_head().groups == bare.by_token().groups == ("other",)
    assert len(bare.by_neuron().groups) > 10


@pytest.mark.parametrize("most", [0, -1, 2.5, "all", None])
def test_odd_numbers_are_refused(overlap: Overlap, most: object) -> None:
    """As everywhere."""
    for method in (overlap.by_neuron, overlap.by_token):
        with pytest.raises(InvalidInputError, match="most must be"):
            method(most=most)


def test_special_tokens_among_what_all_share_are_told() -> None:
    """How many of the weights in all sets are the mask token's, which says nothing of a rule."""
    lists = {"a": [0, 1, 4, 50], "b": [1, 0, 4, 60]}  # two weights of [MASK], one of "the"
    sets = {name: replace(TopKSet.from_indices(own, space=SPACE), anatomy=KNOWN) for name, own in lists.items()}
    note = special_tokens_note(compute_overlap(sets))
    assert note is not None
    assert note.startswith("2 weights of the 3 in all runs belong to the embedding of special tokens ([MASK])")
    bare = {name: TopKSet.from_indices(own, space=SPACE) for name, own in lists.items()}
    assert special_tokens_note(compute_overlap(bare)) is None
    apart = {"a": sets["a"], "b": replace(TopKSet.from_indices([99], space=SPACE), anatomy=KNOWN)}
    assert special_tokens_note(compute_overlap(apart)) is None
