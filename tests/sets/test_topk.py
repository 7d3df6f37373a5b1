"""The set and the space it lies in."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradiend_mlflow import InvalidInputError, SpaceConflictError, TopKSet, WeightSpace, compute_overlap
from tests.support.checkpoints import make_model

SPACE = WeightSpace(names=("query", "scalar", "bias"), shapes=((2, 3), (), (4,)), base_model="tiny")


NAMES = ("layer", "component", "head", "neuron", "token")


def test_space_counts_weights_in_order() -> None:
    """Sizes, starts and the total; a parameter without axes is one weight."""
    assert SPACE.sizes.tolist() == [6, 1, 4]
    assert SPACE.starts.tolist() == [0, 6, 7]
    assert SPACE.size == 11


def test_fingerprint_is_of_names_and_shapes() -> None:
    """The base model's name does not matter to it; a shape or the order does."""
    renamed = dataclasses.replace(SPACE, base_model="other")
    reshaped = dataclasses.replace(SPACE, shapes=((3, 2), (), (4,)))
    reordered = WeightSpace(SPACE.names[::-1], SPACE.shapes[::-1])
    assert renamed.fingerprint == SPACE.fingerprint
    assert len({SPACE.fingerprint, reshaped.fingerprint, reordered.fingerprint}) == 3


@pytest.mark.parametrize(
    ("names", "shapes", "message"),
    [
        (("a", "a"), ((1,), (1,)), "got 'a' more than once"),
        (("a",), ((1,), (2,)), "1 names, 2 shapes"),
        (("a",), ((-1,),), "an int of at least 0; got -1"),
    ],
)
def test_impossible_spaces_are_refused(names: Any, shapes: Any, message: str) -> None:
    """Repeated names, missing shapes, negative sizes."""
    with pytest.raises(InvalidInputError, match=message):
        WeightSpace(names, shapes)


@given(st.permutations(range(11)), st.integers(1, 11))
def test_from_indices_and_base_global_indices_are_inverses(indices: list[int], k: int) -> None:
    """Rank order and numbers survive, also past parameters without axes."""
    topk_set = TopKSet.from_indices(indices[:k], space=SPACE)
    assert topk_set.base_global_indices().tolist() == indices[:k]
    assert len(topk_set) == k
    assert topk_set.input_dim == 11


@given(st.integers(0, 10))
def test_coordinates_agree_with_gradiends(index: int) -> None:
    """`to_frame` names the weight as `decode_base_global_index` does."""
    model = make_model([("query", (2, 3), "all"), ("scalar", (), "all"), ("bias", (4,), "all")])
    theirs = model.decode_base_global_index(index)
    (row,) = TopKSet.from_indices([index], space=SPACE).to_frame().to_dict("records")
    assert row["param"] == theirs["param_name"]
    assert row["offset"] == theirs["flat_index_in_param"]
    assert list(row["coordinates"]) == theirs["coords"]


def test_parameters_without_weights_own_none() -> None:
    """An empty parameter shares its start with the next one, which owns the weight."""
    space = WeightSpace(("empty", "full"), ((0, 3), (2,)))
    assert TopKSet.from_indices([0], space=space).to_frame()["param"].tolist() == ["full"]


def test_top_is_a_prefix() -> None:
    """A number, and a fraction of input_dim."""
    topk_set = TopKSet.from_indices([5, 1, 10, 6], space=SPACE)
    assert topk_set.top(2).base_global_indices().tolist() == [5, 1]
    assert topk_set.top(0.25).base_global_indices().tolist() == [5, 1, 10]
    assert topk_set.top(0.25).topk == 0.25
    assert topk_set.top(2).top(1) == topk_set.top(1)
    assert np.shares_memory(topk_set.top(2).offsets, topk_set.offsets)


def test_more_than_was_kept_says_how_to_log_more() -> None:
    """A larger k cannot be made up."""
    with pytest.raises(InvalidInputError, match=r"means 5 of 11 weights, but only the top 4.*autolog\(topk=5\)"):
        TopKSet.from_indices([5, 1, 10, 6], space=SPACE).top(5)
    everything = TopKSet.from_indices(range(11), space=SPACE)
    assert everything.top(1000) == dataclasses.replace(everything, topk=1000)


def test_frame_has_one_row_per_weight() -> None:
    """Ranks from 1, importances, and weights as a tuple where there are several latent neurons."""
    model = make_model([("weight", (6,), "all")], latent_dim=2)
    frame = TopKSet.from_model(model, topk=3).to_frame()
    assert frame["rank"].tolist() == [1, 2, 3]
    assert list(frame.columns) == ["rank", "param", "offset", "coordinates", *NAMES, "importance", "weight"]
    assert frame["weight"].map(lambda pair: sum(map(abs, pair))).tolist() == pytest.approx(
        frame["importance"].tolist()
    )
    flat = TopKSet.from_model(model, part="decoder-bias", topk=3).to_frame()
    assert flat["weight"].abs().tolist() == flat["importance"].tolist()


def test_sets_are_frozen_and_equal_by_value() -> None:
    """Neither fields nor arrays can be changed; equal sets are equal."""
    topk_set = TopKSet.from_indices([1, 2], space=5)
    assert topk_set == TopKSet.from_indices([1, 2], space=5)
    assert topk_set != TopKSet.from_indices([2, 1], space=5)
    assert topk_set != "a set"
    with pytest.raises(dataclasses.FrozenInstanceError):
        topk_set.topk = 3
    with pytest.raises(ValueError, match="read-only"):
        topk_set.offsets[0] = 3


def test_arrays_given_are_not_the_arrays_kept() -> None:
    """Changing the caller's array later changes nothing."""
    importance = np.array([2.0, 1.0], dtype=np.float32)
    topk_set = TopKSet.from_indices([1, 2], space=5, importance=importance)
    importance[0] = 0
    assert topk_set.importance.tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"importance": [1.0, 2.0]}, "importances must descend; they rise between rank 1 and 2"),
        ({"importance": [np.nan, 1.0]}, "finite and not negative"),
        ({"importance": [1.0, -1.0]}, "finite and not negative"),
        ({"importance": [1.0]}, r"importance must have the shape \(2,\); got \(1,\)"),
        ({"offsets": [1, 1], "param_ids": [0, 0]}, "'query' offset 1 is duplicated"),
        ({"offsets": [6, 0]}, "offset 6 at rank 1 lies outside 'query', which has 6 weights"),
        ({"param_ids": [3, 0]}, r"param_ids must lie in \[0, 3\)"),
        ({"weights": [1.0, 1.0]}, r"weights must have the shape \(2, d\)"),
        ({"input_dim": "x"}, "input_dim must be an int of at least 1; got 'x'"),
        ({"input_dim": 1}, "between 1 and input_dim=1 weights; got 2"),
        ({"part": "encoder"}, "part must be one of"),
    ],
)
def test_impossible_sets_are_refused(change: dict[str, Any], message: str) -> None:
    """Whatever is wrong is said with the values."""
    good = {
        "part": "decoder-weight",
        "topk": 2,
        "input_dim": 11,
        "space": SPACE,
        "param_ids": [0, 2],
        "offsets": [1, 1],
        "importance": [2.0, 1.0],
        "weights": [[2.0], [-1.0]],
    }
    assert len(TopKSet(**good)) == 2
    with pytest.raises(InvalidInputError, match=message):
        TopKSet(**(good | change))


@pytest.mark.parametrize("indices", [[], [[1, 2]], [0.5], ["a"], [11], [-1], [2, 2]])
def test_impossible_indices_are_refused(indices: Any) -> None:
    """Empty, nested, no ints, outside, twice."""
    with pytest.raises(InvalidInputError):
        TopKSet.from_indices(indices, space=SPACE)


@given(st.data())
def test_intersection_frac_is_that_of_an_overlap(data: st.DataObject) -> None:
    """Bit for bit, whichever parameters the two select and in whatever order."""
    shapes = {"query": (2, 3), "key": (4,), "bias": (3,), "scalar": ()}
    pair = {}
    for label in "ab":
        names = data.draw(st.lists(st.sampled_from(sorted(shapes)), min_size=1, unique=True))
        space = WeightSpace(tuple(names), tuple(shapes[name] for name in names))
        indices = data.draw(st.lists(st.integers(0, space.size - 1), min_size=1, unique=True))
        pair[label] = TopKSet.from_indices(indices, space=space)
    expected = compute_overlap(pair).intersection_frac
    assert pair["a"].intersection_frac(pair["b"]) == expected[0, 1]
    assert pair["b"].intersection_frac(pair["a"]) == expected[1, 0]


def test_sets_that_cannot_be_compared_are_refused() -> None:
    """Also if neither holds a weight of the parameter that differs."""
    a, b = (TopKSet.from_indices([0], space=WeightSpace(("x", "y"), ((1,), (size,)))) for size in (2, 3))
    with pytest.raises(SpaceConflictError, match=r"'y' has the shape \(2,\) in the first and \(3,\) in the second"):
        a.intersection_frac(b)
    with pytest.raises(InvalidInputError, match="intersection_frac needs another TopKSet; got list"):
        a.intersection_frac([0])  # type: ignore[arg-type]


def test_repr_is_short() -> None:
    """What it is, not its arrays."""
    text = repr(TopKSet.from_indices([1, 2], space=SPACE))
    assert text == "TopKSet(decoder-weight, topk=2, k=2 of input_dim=11, base_model='tiny')"


class TestTies:
    """How many inputs have the importance of the last weight."""

    plain = TopKSet.from_indices([0, 1, 2, 3], space=SPACE, importance=[2, 2, 1, 1])

    def test_a_cut_above_the_end_is_counted(self) -> None:
        """What ties there is in the set; at the end only the set itself knows."""
        told = dataclasses.replace(self.plain, ties_at_cut=5)
        assert [told.top(k).ties_at_cut for k in (1, 2, 3, 4)] == [2, 2, 5, 5]
        assert [self.plain.top(k).ties_at_cut for k in (1, 2, 3, 4)] == [2, 2, None, None]

    def test_sets_that_differ_in_it_are_equal(self) -> None:
        """It is not of the set, but of what is not in it."""
        assert dataclasses.replace(self.plain, ties_at_cut=5) == self.plain

    @pytest.mark.parametrize("ties", [1, 10, 2.0, True])
    def test_impossible_numbers_are_refused(self, ties: Any) -> None:
        """Fewer than tie in the set, more than there are inputs, or no int."""
        with pytest.raises(InvalidInputError, match=rf"ties_at_cut must be an int between 2 and 9; got {ties}"):
            dataclasses.replace(self.plain, ties_at_cut=ties)
