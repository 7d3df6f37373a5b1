"""Every measure: gradiend's numbers, the laws of similarities, and published examples."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gradiend.comparison import compute_similarity_matrix
from gradiend.trainer.suite.definitions import _GradiendOnlyModel
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from gradiend_mlflow import InvalidInputError, TopKSet, compute_overlap
from gradiend_mlflow.overlap.measures import SIGNED, VALUES
from tests.support.checkpoints import Kind, kinds, model_of
from tests.support.sets import LABELS, SIZE, weighted_families


@pytest.mark.parametrize("value", VALUES)
class TestLaws:
    """What holds for every measure."""

    @given(family=weighted_families())
    @settings(max_examples=40)
    def test_symmetric_and_bounded(self, value: Any, family: dict[str, TopKSet]) -> None:
        """Between 0, or -1 with a sign, and 1; counts up to the smaller set."""
        matrix = compute_overlap(family).values(value)
        np.testing.assert_array_equal(matrix, matrix.T)
        sizes = [len(topk_set) for topk_set in family.values()]
        assert (matrix >= (-1 if value in SIGNED else 0)).all()
        assert (matrix <= (np.minimum.outer(sizes, sizes) if value == "intersection" else 1)).all()

    @given(family=weighted_families())
    @settings(max_examples=40)
    def test_a_set_agrees_with_itself(self, value: Any, family: dict[str, TopKSet]) -> None:
        """On the diagonal, and under a second name: 1, or its size."""
        twins = compute_overlap({**family, "twin": family["run 0"]}).values(value)
        full = [len(topk_set) for topk_set in family.values()] if value == "intersection" else np.ones(len(family))
        np.testing.assert_allclose(np.diag(twins)[:-1], full)
        assert twins[0, -1] == pytest.approx(full[0])

    @given(family=weighted_families())
    @settings(max_examples=40)
    def test_disjoint_sets_do_not_agree(self, value: Any, family: dict[str, TopKSet]) -> None:
        """0 against a set of other weights; a rank correlation counts the zeros too, and so is only near it."""
        first = family["run 0"]
        held = set(first.base_global_indices().tolist())
        others = [index for index in range(SIZE) if index not in held] or [SIZE]
        space = replace(first.space, shapes=((SIZE + 1,),))
        other = TopKSet.from_indices(others, space=space)
        other = replace(other, weights=np.ones((len(others), first.latent_dim)), latent_dim=first.latent_dim)
        matrix = compute_overlap({"a": replace(first, space=space), "b": other}).values(value)
        if value not in ("spearman", "spearman_signed"):
            assert matrix[0, 1] == pytest.approx(0, abs=1e-12)
        else:
            vectors = np.zeros((2, SIZE + 1, first.latent_dim))
            vectors[0, first.offsets], vectors[1, others] = first.weights, 1
            expected = spearmanr(vectors[0].ravel(), vectors[1].ravel()).statistic
            assert matrix[0, 1] == pytest.approx(abs(expected) if value == "spearman" else expected)

    @given(family=weighted_families(), random=st.randoms(use_true_random=False))
    @settings(max_examples=40)
    def test_order_labels_and_positions_do_not_matter(
        self, value: Any, family: dict[str, TopKSet], random: Any
    ) -> None:
        """Shuffled and renamed sets over a shuffled space give the shuffled matrix."""
        order = random.sample(list(family), len(family))
        moved = np.array(random.sample(range(SIZE), SIZE))
        renamed = {f"new {label}": replace(family[label], offsets=moved[family[label].offsets]) for label in order}
        matrix = compute_overlap(family).to_frame(value)
        np.testing.assert_allclose(
            compute_overlap(renamed).to_frame(value), matrix.loc[order, order], rtol=1e-9, atol=1e-12
        )

    @given(family=weighted_families(at_least=2))
    @settings(max_examples=40)
    def test_a_pair_does_not_depend_on_the_others(self, value: Any, family: dict[str, TopKSet]) -> None:
        """Two sets alone have the number that they have among more."""
        pair = compute_overlap({label: family[label] for label in LABELS[:2]}).values(value)
        np.testing.assert_allclose(pair, compute_overlap(family).values(value)[:2, :2], rtol=1e-9, atol=1e-12)


def by_definition(a: list[int], b: list[int], p: float) -> float:
    """Equation 32 of Webber et al., term by term."""
    short, long = sorted((a, b), key=len)
    s, l = len(short), len(long)  # noqa: E741  # the paper's names
    x = {d: len(set(short[:d]) & set(long[:d])) for d in range(1, l + 1)}
    total = sum(x[d] / d * p**d for d in range(1, l + 1))
    total += sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * total + ((x[l] - x[s]) / l + x[s] / s) * p**l


class TestRankBiasedOverlap:
    """`rbo`."""

    @given(weighted_families(at_least=2), st.floats(0.01, 0.9999))
    def test_is_the_papers_formula(self, family: dict[str, TopKSet], p: float) -> None:
        """For lists of any two lengths and any p."""
        overlap = compute_overlap(family, rbo_p=p)
        ranked = [topk_set.base_global_indices().tolist() for topk_set in family.values()]
        for (i, a), (j, b) in itertools.product(enumerate(ranked), repeat=2):
            assert overlap.rbo[i, j] == pytest.approx(by_definition(a, b, p), abs=1e-10)

    @pytest.mark.parametrize(
        ("depth", "published"), [(1, 0), (2, 0), (3, 0.222), (4, 0.292), (5, 0.313), (6, 0.317), (7, 0.312)]
    )
    def test_published_average_overlaps(self, depth: int, published: float) -> None:
        """Figure 5 of the paper: abcdefg and zcavwxy. The average overlap is what rank-biased overlap tends to.

        With p near 1, (RBO - A_k p^k) / (1 - p) is the sum of the agreements A_d up to the depth k.
        """
        p, first, second = 1 - 1e-6, "abcdefg"[:depth], "zcavwxy"[:depth]
        sets = {
            name: TopKSet.from_indices([ord(letter) for letter in letters], space=128)
            for name, letters in (("first", first), ("second", second))
        }
        at_the_end = len(set(first) & set(second)) / depth
        found = (compute_overlap(sets, rbo_p=p).rbo[0, 1] - at_the_end * p**depth) / (1 - p) / depth
        assert found == pytest.approx(published, abs=6e-4)

    @pytest.mark.parametrize(("p", "depth", "weight"), [(0.9, 10, 0.86), (0.98, 50, 0.85), (0.999, 1000, 0.85)])
    def test_weight_of_the_first_ranks(self, p: float, depth: int, weight: float) -> None:
        """What agreement on the first ranks alone comes to: for 0.9 the paper says 86 %, for the others we do."""
        sets = {
            name: TopKSet.from_indices([*range(depth), *range(start, start + 20_000)], space=50_000)
            for name, start in (("a", 1000), ("b", 30_000))
        }
        assert compute_overlap(sets, rbo_p=p).rbo[0, 1] == pytest.approx(weight, abs=5e-3)

    @pytest.mark.parametrize("p", [0, 1, 1.5, -0.1, "0.9", True])
    def test_other_p_are_refused(self, p: Any) -> None:
        """With p = 1 the weights do not sum up."""
        with pytest.raises(InvalidInputError, match="must lie between 0 and 1, both excluded; got"):
            compute_overlap({"a": TopKSet.from_indices([1], space=2)}, rbo_p=p)


@given(st.lists(kinds(), min_size=2, max_size=3), st.data())
@settings(max_examples=25, deadline=None)
def test_equals_gradiends_measures(candidates: list[Kind], data: st.DataObject) -> None:
    """For models over one parameter selection, pruned, fractional, of several latent neurons."""
    part = data.draw(st.sampled_from(["encoder-weight", "decoder-weight", "decoder-sum"]))
    topk = data.draw(st.one_of(st.integers(1, 20), st.floats(0.05, 1.0)))
    models = {}
    for label, candidate in zip("abc", candidates, strict=False):
        # float32: in half precision gradiend rounds its cosines to it.
        kind = Kind(candidates[0].parameters, candidates[0].latent_dim, bias=candidate.bias, seed=candidate.seed)
        model = model_of(kind)
        models[label] = model.prune(topk=data.draw(st.integers(1, model.input_dim)), part="decoder-weight")
    overlap = compute_overlap(
        {label: TopKSet.from_model(model, part=part, topk=topk) for label, model in models.items()}
    )
    theirs = {label: _GradiendOnlyModel(model) for label, model in models.items()}
    for measure in ("mass_overlap", "cosine", "cosine_signed", "spearman", "spearman_signed"):
        matrix = compute_similarity_matrix(theirs, measure=measure, part=part, topk=topk)["matrix"]
        np.testing.assert_allclose(overlap.values(measure), matrix, rtol=1e-5, atol=1e-6)


@given(weighted_families(), st.integers(0, 2**16))
def test_sign_agreement_by_definition(family: dict[str, TopKSet], seed: int) -> None:
    """The mean product of signs over each pair's shared weights and the latent neurons, one after the other."""
    random = np.random.default_rng(seed)
    family = {label: replace(own, weights=own.weights * random.integers(0, 2, own.weights.shape))
              for label, own in family.items()}  # fmt: skip
    known = [dict(zip(own.base_global_indices().tolist(), own.weights, strict=True)) for own in family.values()]
    found = compute_overlap(family).sign_agreement
    for (i, a), (j, b) in itertools.product(enumerate(known), repeat=2):
        signs = [
            np.sign(x) * np.sign(y)
            for weight in a.keys() & b.keys()
            for x, y in zip(a[weight], b[weight], strict=True)
        ]
        assert found[i, j] == pytest.approx(np.mean(signs) if signs else 0.0)


def test_sign_agreement_ignores_how_much_is_shared() -> None:
    """All that two runs share in opposite directions is -1, however little it is; nothing shared is 0."""
    own = TopKSet.from_indices([1, 2, 3], space=9)
    other = TopKSet.from_indices([3, 4, 5], space=9)
    sets = {
        "up": replace(own, weights=np.array([[1.0], [-2.0], [3.0]])),
        "down": replace(own, weights=np.array([[-9.0], [1.0], [-1.0]])),
        "one": replace(other, weights=np.array([[-1.0], [1.0], [1.0]])),
        "far": replace(TopKSet.from_indices([8], space=9), weights=np.array([[1.0]])),
    }
    expected = [[1, -1, -1, 0], [-1, 1, 1, 0], [-1, 1, 1, 0], [0, 0, 0, 1]]
    assert compute_overlap(sets).values("sign_agreement").tolist() == expected


class TestWhatCannotBeSaid:
    """Measures that need what a set does not have."""

    def test_unknown_weights_have_no_cosine(self) -> None:
        """The set is named, and what can be asked instead."""
        overlap = compute_overlap({"bare": TopKSet.from_indices([1, 2], space=5)})
        for value in ("cosine", "sign_agreement"):
            with pytest.raises(InvalidInputError, match="signed weights of 'bare' are not known; intersection"):
                overlap.values(value)
        assert overlap.values("rbo").tolist() == [[1.0]]

    def test_cosines_need_equal_latent_dimensions(self) -> None:
        """Where gradiend fails in the middle of a product."""
        a = replace(TopKSet.from_indices([1, 2], space=5), weights=np.ones((2, 1)))
        b = replace(a, weights=np.ones((2, 3)), latent_dim=3)
        with pytest.raises(InvalidInputError, match=r"'a' has 1, 'b' has 3\. Measures that need no signed weights"):
            compute_overlap({"a": a, "b": b}).values("cosine_signed")

    def test_zero_importances_and_weights_give_zero(self) -> None:
        """As in gradiend, where nothing can be divided."""
        zero = replace(TopKSet.from_indices([1, 2], space=5, importance=[0, 0]), weights=np.zeros((2, 1)))
        one = replace(TopKSet.from_indices([1, 2], space=5), weights=np.ones((2, 1)))
        overlap = compute_overlap({"zero": zero, "one": one})
        for value in ("mass_overlap", "cosine", "cosine_signed", "sign_agreement"):
            np.testing.assert_allclose(overlap.values(value), [[0, 0], [0, 1]])
