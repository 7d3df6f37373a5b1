"""Sets of neurons against a count by hand, and their chance against drawing."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import InvalidInputError, NeuronOverlap, SeedOverlap, SeedPolicy, TopKSet, WeightSpace
from gradiend_mlflow import compute_overlap as compute
from gradiend_mlflow.overlap.measures import VALUES
from gradiend_mlflow.overlap.shared_weights import shared_weights, special_tokens_note
from gradiend_mlflow.overlap.statistics.chance import hit_probability
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.anatomy.heads import Heads

# As a GPT-2's, whose matrices are (inputs, outputs), its embedding is not.
SPACE = WeightSpace(
    (
        "wte.weight",
        "h.0.ln_1.weight",
        "h.0.attn.c_proj.weight",
        "h.0.mlp.c_fc.weight",
        "h.0.mlp.c_fc.bias",
        "h.1.mlp.experts.down_proj",
        "ln_f.bias",
    ),
    ((5, 4), (4,), (4, 3), (2, 6), (6,), (2, 3, 2), (4,)),
)
KNOWN = Anatomy(Heads(2, 2, transposed=True), 5, {0: "[MASK]", 3: "the"}, frozenset({0}))
OUTPUT_AXIS = {"wte.weight": 0, "h.0.attn.c_proj.weight": 1, "h.0.mlp.c_fc.weight": 1}
DEFINED = ("intersection", "intersection_frac", "jaccard", "mass_overlap", "cosine", "rbo")


def neuron_by_hand(position: int) -> tuple[str, int] | None:
    """The neuron of a weight, from its coordinates."""
    (param_id,), (offset,) = SPACE.locate(np.array([position]))
    name, shape = SPACE.names[param_id], SPACE.shapes[param_id]
    at = np.unravel_index(offset, shape)
    if len(shape) == 3:
        return name, int(at[0] * shape[1] + at[1])
    return (name, int(at[OUTPUT_AXIS[name]])) if len(shape) == 2 else None


def neurons_by_hand(topk_set: TopKSet) -> dict[tuple[str, int], float]:
    """The importance of each neuron of a set, in the order of their first weights."""
    squares: dict[tuple[str, int], float] = {}
    positions, values = topk_set.base_global_indices().tolist(), topk_set.importance.tolist()
    for position, importance in zip(positions, values, strict=True):
        if (neuron := neuron_by_hand(position)) is not None:
            squares[neuron] = squares.get(neuron, 0.0) + importance**2
    return {neuron: total**0.5 for neuron, total in squares.items()}


def keys_of(neurons: Any) -> list[int]:
    """Their numbers, counted through the parameters."""
    outputs = {name: len({neuron_by_hand(at) for at in range(start, start + size)} - {None}) for name, start, size in
               zip(SPACE.names, SPACE.starts.tolist(), SPACE.sizes.tolist(), strict=True)}  # fmt: skip
    first = dict(zip(outputs, (np.cumsum(list(outputs.values())) - list(outputs.values())).tolist(), strict=True))
    return [first[name] + number for name, number in neurons]


@st.composite
def families(draw: st.DrawFn, *, least: int = 2) -> dict[str, TopKSet]:
    """Some sets over the space, of any sizes and importances, at least one of which has a weight in a matrix."""
    found = {}
    for label in "abcd"[: draw(st.integers(least, 4))]:
        order = draw(st.permutations(range(SPACE.size)))[: draw(st.integers(1, SPACE.size))]
        values = draw(st.lists(st.integers(1, 9), min_size=len(order), max_size=len(order)))
        made = TopKSet.from_indices(order, space=SPACE, importance=sorted(map(float, values), reverse=True))
        found[label] = replace(made, anatomy=KNOWN)
    if not any(neurons_by_hand(one) for one in found.values()):
        found["a"] = replace(TopKSet.from_indices([0], space=SPACE), anatomy=KNOWN)
    return found


@settings(max_examples=40, deadline=None)
@given(families())
def test_sets_are_the_neurons_of_their_weights(sets: dict[str, TopKSet]) -> None:
    """In the order of their best weights, as important as all of them together; the rest is counted."""
    overlap = compute(sets, unit="neuron")
    assert isinstance(overlap, NeuronOverlap)
    for row, one in enumerate(sets.values()):
        wanted = neurons_by_hand(one)
        assert overlap.keys[overlap.ranked.columns[row]].tolist() == keys_of(wanted)
        importance = overlap.ranked.importance[row]
        assert importance is not None
        assert importance.tolist() == pytest.approx(list(wanted.values()))
        positions = one.base_global_indices().tolist()
        assert overlap.left_out[row] == sum(neuron_by_hand(position) is None for position in positions)


@settings(max_examples=40, deadline=None)
@given(families())
def test_measures_are_those_of_sets_of_neurons(sets: dict[str, TopKSet]) -> None:
    """Every measure is what it is of weights if each neuron is a weight of that importance."""
    overlap = compute(sets, unit="neuron")
    by_hand = [neurons_by_hand(one) for one in sets.values()]
    for (a, one), (b, two) in combinations(enumerate(by_hand), 2):
        shared, smaller = one.keys() & two.keys(), min(len(one), len(two))
        assert overlap.intersection[a, b] == len(shared)
        assert overlap.intersection_frac[a, b] == pytest.approx(len(shared) / smaller if smaller else 0.0)
        assert overlap.jaccard[a, b] == pytest.approx(len(shared) / len(one.keys() | two.keys()) if shared else 0.0)
        vectors = np.array([[own.get(key, 0.0) for key in one.keys() | two.keys()] for own in (one, two)])
        norms = np.linalg.norm(vectors, axis=1)
        cosine = vectors[0] @ vectors[1] / norms.prod() if norms.all() else 0.0
        assert overlap.cosine[a, b] == pytest.approx(cosine)
        on_shared = [np.linalg.norm([own[key] for key in shared]) for own in (one, two)]
        mass = np.mean(on_shared / norms) if norms.all() else 0.0
        assert overlap.mass_overlap[a, b] == pytest.approx(mass)
    # Ranks count alone in rank-biased overlap, so that sets of weights in that order have it too.
    full = [keys_of(own) for own in by_hand]
    if all(full):
        weights = {label: TopKSet.from_indices(own, space=99) for label, own in zip(sets, full, strict=True)}
        assert overlap.rbo == pytest.approx(compute(weights).rbo)
        assert overlap.regions == compute(weights).regions


@settings(max_examples=40, deadline=None)
@given(families(), st.integers(1, SPACE.size))
def test_a_prefix_is_the_answer_for_a_smaller_k(sets: dict[str, TopKSet], k: int) -> None:
    """Whatever is asked of it, importances included; k counts weights."""
    prefix = compute(sets, unit="neuron").top(k)
    shorter = {label: one.top(min(k, len(one))) for label, one in sets.items()}
    try:
        again = compute(shorter, unit="neuron")
    except InvalidInputError:  # no neuron is left
        assert prefix.union_size == 0
        return
    for value in DEFINED:
        assert prefix.values(value) == pytest.approx(again.values(value))
    assert prefix.expected() == pytest.approx(again.expected())
    assert prefix.regions == again.regions


@settings(max_examples=40, deadline=None)
@given(families())
def test_a_curve_ends_at_the_matrix(sets: dict[str, TopKSet]) -> None:
    """If all sets have one size; it has the sizes of the sets of neurons."""
    k = min(map(len, sets.values()))
    cut = compute({label: one.top(k) for label, one in sets.items()} | {"z": _one()}, unit="neuron").top(k)
    sets = {label: one.top(k) for label, one in sets.items()} | {"z": _one(k)}
    overlap = compute(sets, unit="neuron")
    assert cut.labels == overlap.labels
    curve = overlap.overlap_curve([k])
    assert curve.unit == "neuron"
    for value in ("intersection", "intersection_frac", "jaccard"):
        matrix = np.asarray(overlap.values(value), dtype=float)
        assert curve.values(value)[0] == pytest.approx(matrix)
    assert curve.to_frame()["intersection_frac"].tolist() == pytest.approx(
        overlap.intersection_frac[np.triu_indices(len(sets), k=1)].tolist()
    )


def _one(k: int = 1) -> TopKSet:
    return replace(TopKSet.from_indices(range(k), space=SPACE), anatomy=KNOWN)


@settings(max_examples=40, deadline=None)
@given(families(), st.sampled_from(["layer", "component", "param"]))
def test_groups_have_the_neurons_of_their_parameters(sets: dict[str, TopKSet], grouping: str) -> None:
    """And together all of them; their chance is that of the weights in the group."""
    overlap = compute(sets, unit="neuron")
    grouped = overlap.by_group(grouping)
    assert sum(part.sizes for part in grouped.overlaps.values()).tolist() == overlap.sizes.tolist()
    frame = grouped.to_frame()
    assert list(frame.columns[1:6]) == ["a", "b", "neurons_a", "neurons_b", "shared"]
    assert (frame["shared"] <= frame[["neurons_a", "neurons_b"]].min(axis=1)).all()
    for group, part in compute(sets).by_group(grouping).overlaps.items():
        if group in grouped.overlaps:
            assert grouped.overlaps[group].chance().population.tolist() == part.chance().population.tolist()


@pytest.mark.parametrize("kind", ["GPT2", "Bert", "Llama"])
def test_neurons_are_slices_of_a_real_models_modules(kind: str) -> None:
    """A module's matrix with the importances of a set in it: each output that is not 0 is a neuron, by its norm."""
    model, sizes = models_of(kind), {}
    space = WeightSpace(
        tuple(name for name, _ in model.named_parameters()), tuple(tuple(p.shape) for _, p in model.named_parameters())
    )
    rng, sets, wanted = np.random.default_rng(0), {}, {}
    for label in "ab":
        drawn, importance = rng.choice(space.size, 300, replace=False), np.sort(rng.exponential(size=300))[::-1]
        made = TopKSet.from_indices(drawn, space=space, importance=importance)
        sets[label] = replace(made, anatomy=Anatomy(Heads.from_config(model.config)))
        flat = np.zeros(space.size)
        flat[drawn] = made.importance
        parts = dict(zip(space.names, np.split(flat, space.starts[1:]), strict=True))
        for name, module in model.named_modules():
            if getattr(module, "weight", None) is not None and module.weight.ndim == 2:
                matrix = parts[f"{name}.weight"].reshape(module.weight.shape)
                norms = np.linalg.norm(matrix, axis=0 if type(module).__name__ == "Conv1D" else 1)
                sizes[f"{name}.weight"] = len(norms)
                wanted[label] = wanted.get(label, {}) | {
                    (f"{name}.weight", unit): norms[unit] for unit in np.flatnonzero(norms).tolist()
                }
    overlap = compute(sets, unit="neuron")
    assert {name: size for name, size in zip(overlap.space.names, overlap.space.sizes, strict=True) if size} == sizes
    for row, label in enumerate("ab"):
        own = overlap.ranked.columns[row]
        param_ids, units = overlap.space.locate(overlap.keys[own])
        names = [overlap.space.names[param_id] for param_id in param_ids]
        found = dict(zip(zip(names, units.tolist(), strict=True), overlap.ranked.importance[row], strict=True))
        assert found == pytest.approx(wanted[label])
    assert overlap.intersection[0, 1] == len(wanted["a"].keys() & wanted["b"].keys()) > 20


def models_of(kind: str) -> Any:
    """A tiny model of random weights."""
    options = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = getattr(transformers, f"{kind}Config")(vocab_size=40, max_position_embeddings=12, **options)
    return getattr(transformers, f"{kind}Model")(config)


# ------------------------------------------------------------------------------------------------------------ chance


def brute_force(k: int, sizes: list[int], total: int) -> list[float]:
    """How likely each neuron has one of k weights, by trying all draws; the neurons' weights come first."""
    ends = np.cumsum(sizes)
    counts = np.zeros(len(sizes))
    for drawn in combinations(range(total), k):
        counts[np.unique(np.searchsorted(ends, [one for one in drawn if one < ends[-1]], side="right"))] += 1
    return (counts / comb(total, k)).tolist()


@pytest.mark.parametrize(("k", "sizes", "total"), [(3, [2, 2, 3], 9), (1, [4], 4), (5, [3, 1, 1], 8), (8, [6, 1], 8)])
def test_the_probability_of_a_hit_is_that_of_all_draws(k: int, sizes: list[int], total: int) -> None:
    """Also where a neuron is larger than what is not drawn, and is hit for sure."""
    hits = [hit_probability(np.array([[k]]), np.array([[total]]), size)[0, 0] for size in sizes]
    assert hits == pytest.approx(brute_force(k, sizes, total))


@pytest.mark.parametrize(("n", "k", "m"), [(10**9, 1000, 768), (109_482_240, 10_000, 3072), (10**10, 1, 1)])
def test_small_probabilities_keep_their_digits(n: int, k: int, m: int) -> None:
    """Against exact fractions of whole numbers, at true sizes."""
    misses = 1.0
    numerator, denominator = 1, 1
    for i in range(min(k, m)):
        numerator *= n - i - max(k, m)
        denominator *= n - i
        if numerator.bit_length() > 4000:  # keeps the fraction exact to far more digits than a float has
            shift = numerator.bit_length() - 2000
            numerator, denominator = numerator >> shift, denominator >> shift
    misses = (denominator - numerator) / denominator
    assert hit_probability(np.array([[k]]), np.array([[n]]), m)[0, 0] == pytest.approx(misses, rel=1e-12)


@pytest.mark.long
def test_chance_is_what_drawing_gives() -> None:
    """Random sets over the real space, of other sizes, one of which selects other parameters."""
    rng = np.random.default_rng(0)
    few = WeightSpace(SPACE.names[2:], SPACE.shapes[2:])
    spaces, sizes, draws = {"a": SPACE, "b": SPACE, "c": few}, {"a": 9, "b": 14, "c": 5}, 4000
    shared = np.zeros((3, 3))
    expected = np.zeros((3, 3))
    for _ in range(draws):
        chosen = {label: rng.choice(space.size, sizes[label], replace=False) for label, space in spaces.items()}
        sets = {label: replace(TopKSet.from_indices(own, space=spaces[label]), anatomy=KNOWN) for label, own in
                chosen.items()}  # fmt: skip
        overlap = compute(sets, unit="neuron")
        shared += overlap.intersection
        expected += overlap.expected()
    # With c, chance takes the weights of a and b that lie in its parameters as given.
    apart = ~np.eye(3, dtype=bool)
    assert shared[apart] / draws == pytest.approx(expected[apart] / draws, rel=0.02)
    by_hand = 0.0
    for start, size in zip(SPACE.starts.tolist(), SPACE.sizes.tolist(), strict=True):
        for neuron in {neuron_by_hand(at) for at in range(start, start + size)} - {None}:
            own = sum(neuron_by_hand(at) == neuron for at in range(start, start + size))
            hits = [1 - comb(SPACE.size - own, k) / comb(SPACE.size, k) for k in (9, 14)]
            by_hand += hits[0] * hits[1]
    assert overlap.expected()[0, 1] == pytest.approx(by_hand)


def test_chance_has_no_p_value() -> None:
    """And takes no population."""
    overlap = compute({"a": _one(3), "b": _one(5)}, unit="neuron")
    chance = overlap.chance()
    assert np.isnan(chance.p_value).all()
    assert np.isnan(chance.q_value).all()
    assert chance.lift[0, 1] == pytest.approx(overlap.intersection[0, 1] / chance.expected[0, 1])
    with pytest.raises(InvalidInputError, match="population counts weights"):
        overlap.chance(population=40)


# ------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("value", [value for value in VALUES if value not in DEFINED])
def test_signs_and_rank_correlations_are_refused(value: Any) -> None:
    """By name and as attributes."""
    overlap = compute({"a": _one(3), "b": _one(5)}, unit="neuron")
    for ask in (lambda: overlap.values(value), lambda: getattr(overlap, value)):
        with pytest.raises(InvalidInputError, match=r"compares signed weights, .*must be one of intersection, .*rbo"):
            ask()


def test_what_is_no_question_of_neurons() -> None:
    """Pieces of neurons, an unknown unit, sets without any neuron."""
    overlap = compute({"a": _one(3), "b": _one(5)}, unit="neuron")
    for method in (overlap.by_head, overlap.by_neuron, overlap.by_token):
        with pytest.raises(InvalidInputError, match="use unit='weight'"):
            method()
    with pytest.raises(InvalidInputError, match="unit must be one of"):
        compute({"a": _one()}, unit="layer")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="no neurons to compare"):
        compute({"a": TopKSet.from_indices([1], space=9)}, unit="neuron")
    with pytest.raises(InvalidInputError, match="one of neurons and one of weights"):
        overlap.difference(compute({"a": _one(3), "b": _one(5)}))
    assert overlap.difference(overlap.top(2)).to_frame().shape == (2, 2)


def test_a_set_without_neurons_beside_others_is_empty() -> None:
    """And its overlap 0."""
    sets = {"a": _one(3), "b": replace(TopKSet.from_indices([20, 21], space=SPACE), anatomy=KNOWN)}
    overlap = compute(sets, unit="neuron")
    assert overlap.sizes.tolist() == [1, 0]
    assert overlap.left_out.tolist() == [0, 2]
    assert all(overlap.values(value)[0, 1] == 0 for value in DEFINED)
    assert list(overlap.notes()) == [
        "Left out, because parameters of one dimension have no neurons: 2 of 2 weights of b."
    ]


def test_unknown_storage_is_said() -> None:
    """Files of version 1 do not say whether rows are outputs."""
    overlap = compute({"a": replace(_one(3), anatomy=Anatomy())}, unit="neuron")
    assert isinstance(overlap, NeuronOverlap)
    (note,) = overlap.notes()
    assert "every row counts as a neuron" in note


# -------------------------------------------------------------------------------------------------- tables and seeds


@settings(max_examples=40, deadline=None)
@given(families(), st.integers(1, 2))
def test_the_table_has_the_neurons_and_their_holders(sets: dict[str, TopKSet], least: int) -> None:
    """With ranks among the neurons of each run, and importances."""
    frame = shared_weights(compute(sets, unit="neuron"), min_runs=least)
    by_hand = {label: neurons_by_hand(one) for label, one in sets.items()}
    holders: dict[tuple[str, int], list[str]] = {}
    for label, own in by_hand.items():
        for neuron in own:
            holders.setdefault(neuron, []).append(label)
    assert len(frame) == sum(len(labels) >= least for labels in holders.values())
    for row in frame.to_dict("records"):
        neuron = row["param"], row["neuron"]
        assert list(row["runs"]) == holders[neuron]
        assert list(row["ranks"]) == [list(by_hand[label]).index(neuron) + 1 for label in row["runs"]]
        assert list(row["importances"]) == pytest.approx([by_hand[label][neuron] for label in row["runs"]])
    assert list(frame.columns) == [
        "param", "layer", "component", "head", "neuron", "token", "n_runs", "runs", "ranks", "importances",
    ]  # fmt: skip


def test_tokens_of_neurons_are_named() -> None:
    """A row of the embedding is a neuron, and its token may be a special one."""
    overlap = compute({"a": _one(3), "b": _one(5)}, unit="neuron")
    assert shared_weights(overlap, min_runs=1)["token"].fillna("").tolist() == ["[MASK]", ""]
    assert (special_tokens_note(overlap) or "").startswith("1 neuron of the 1 in all runs belong")


@settings(max_examples=40, deadline=None)
@given(families(least=4), st.sampled_from(["primary", "union", "intersection"]))
def test_trainings_have_the_neurons_of_their_seeds(sets: dict[str, TopKSet], policy: Any) -> None:
    """What all seeds have in common are neurons, also through different weights."""
    chosen = SeedPolicy("all_tried", seed_aggregate="mean", seed_pairing_mode="all_pairs", seed_group_policy=policy)
    seeds = SeedOverlap(("x", "y"), compute(sets, unit="neuron"), ((0, 1, 2), (3,)), chosen)
    by_hand = [set(keys_of(neurons_by_hand(one))) for one in sets.values()]
    wanted = {"primary": by_hand[0], "union": set.union(*by_hand[:3]), "intersection": set.intersection(*by_hand[:3])}
    assert seeds.unit == "neuron"
    collapsed = seeds.collapsed
    held = [set(collapsed.keys[own].tolist()) for own in collapsed.ranked.columns]
    assert held == [wanted[policy], by_hand[3]]
    if collapsed.union_size:
        layers = collapsed.by_layer().overlaps.values()
        assert sum(part.sizes for part in layers).tolist() == [len(own) for own in held]


@settings(max_examples=40, deadline=None)
@given(families(least=4))
def test_the_first_sets_are_those_alone(sets: dict[str, TopKSet]) -> None:
    """As if the others were not there."""
    first = compute(sets, unit="neuron").first(2)
    by_hand = [set(keys_of(neurons_by_hand(one))) for one in list(sets.values())[:2]]
    assert [set(first.keys[own].tolist()) for own in first.ranked.columns] == by_hand
    assert first.labels == ("a", "b")
