"""Our ranking against gradiend's, over everything that gradiend can train and save."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradiend_mlflow import PARTS, CheckpointError, InvalidInputError, MissingPartError, TopKSet
from gradiend_mlflow.sets import space as space_module
from gradiend_mlflow.sets.ranking import importance as importance_module
from gradiend_mlflow.sets.ranking import ordering, packed, selecting
from gradiend_mlflow.sets.weights import open_model
from tests.support.checkpoints import (
    Kind,
    assert_equals_gradiend,
    assert_signed_as_in_model,
    gradiends_topk,
    kinds,
    make_model,
    model_of,
)

topks = st.one_of(st.integers(1, 60), st.floats(0.01, 1.0))


@given(
    kind=kinds(),
    topk=topks,
    safetensors=st.booleans(),
    step=st.sampled_from([1, 7, 1 << 14]),
    fits=st.sampled_from([True, True, False]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_part_of_every_checkpoint_equals_gradiends(
    kind: Kind, topk: float, safetensors: bool, step: int, fits: bool
) -> None:
    """From the directory and from the live model, in any steps, by either sort: gradiend's weights in its order."""
    model = model_of(kind)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module in (importance_module, selecting):  # few neurons are added in the same order anyway
            patch.setattr(module, "ADDED_TOGETHER", 1)
        patch.setattr(importance_module, "BLOCK_AS_STORED", step)
        patch.setattr(importance_module, "BLOCK_ADDED", step)
        patch.setattr(selecting, "SLACK", step // 8)
        for module, name in (ordering, "LEAST"), (packed, "LEAST"), (packed, "BLOCK"), (packed, "BLOCK_ADDED"):
            patch.setattr(module, name, step)  # so that several threads sort
        patch.setattr(space_module, "WORTH_A_TABLE", step)
        patch.setattr(space_module, "TABLE_BITS", 3)
        if not fits:  # as in a space of more than 2**32 weights
            patch.setattr(packed, "fit", lambda *_given: False)
        model.save_pretrained(folder, use_safetensors=safetensors)
        for part in PARTS:
            if part == "decoder-bias" and not kind.bias:
                with pytest.raises(MissingPartError, match="no bias"):
                    TopKSet.from_checkpoint(folder, part=part, topk=topk)
                continue
            stored = TopKSet.from_checkpoint(folder, part=part, topk=topk)
            assert_equals_gradiend(stored, model, part, topk)
            assert stored == TopKSet.from_model(model, part=part, topk=topk)
            assert stored == replace(stored), "what is ranked is not checked, so it must be right"
            assert_signed_as_in_model(stored, model, part)
            assert TopKSet.all_from_checkpoint(folder, topk=topk)[part] == stored
        together = TopKSet.all_from_model(model, parts=[*reversed(PARTS)], topk=topk)
        assert list(together) == [part for part in reversed(PARTS) if part != "decoder-bias" or kind.bias]
        assert together == TopKSet.all_from_checkpoint(folder, topk=topk)


@pytest.mark.parametrize(("latent_dim", "inputs"), [(5, 40_001), (16, 200_003), (129, 9_973)])
def test_importances_are_gradiends_to_the_last_bit(latent_dim: int, inputs: int) -> None:
    """Of many neurons the order of adding shows in the last bit, which can decide which weight is in the set."""
    model = make_model([("layer", (inputs,), "all")], seed=latent_dim, latent_dim=latent_dim)
    for part in PARTS:
        found = TopKSet.from_model(model, part=part, topk=1.0)
        expected = model.get_weight_importance(part).numpy()
        np.testing.assert_array_equal(found.importance, expected[found.base_global_indices()], err_msg=part)


def test_a_misleading_sample_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too few weights lie above the floor that a look at some of them suggests, all are ranked again."""
    monkeypatch.setattr(importance_module, "BLOCK_AS_STORED", 1)
    monkeypatch.setattr(selecting, "SAMPLE", 50)
    model = make_model([("w", (1000,), "all")])
    with torch.no_grad():
        model.decoder[0].linear.weight[::21] = 100  # what the sample sees: one input in 21
    values = {"decoder-weight": importance_module.signed_values(open_model(model), "decoder-weight")}
    found = selecting.above_floors(selecting.likely_floors(values, 100), values, 100)["decoder-weight"]
    assert found is not None
    assert sum(len(piece.inputs) for piece in found) < 100
    assert_equals_gradiend(TopKSet.from_model(model, topk=100), model, "decoder-weight", 100)


@given(kind=kinds(), part=st.sampled_from(["encoder-weight", "decoder-weight"]))
@settings(max_examples=30, deadline=None)
def test_signed_weights_are_those_behind_the_importance(kind: Kind, part: str) -> None:
    """One per latent neuron; their absolute values sum to the importance (in the type that gradiend sums in)."""
    topk_set = TopKSet.from_model(model_of(kind), part=part, topk=1.0)
    assert topk_set.weights.shape == (len(topk_set), kind.latent_dim)
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[kind.dtype]
    np.testing.assert_allclose(np.abs(topk_set.weights).sum(axis=1), topk_set.importance, rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("topk", [0.3, 7])
def test_pruned_models_keep_the_identity_of_their_weights(tmp_path: Path, topk: float) -> None:
    """After gradiend's own pruning, fractions are of what is left and weights keep their names and offsets."""
    model = make_model([("a.weight", (8, 9), "all"), ("b.weight", (50,), "all")], latent_dim=2)
    pruned = model.prune(topk=40, part="decoder-weight")
    pruned.save_pretrained(tmp_path)
    for part in PARTS:
        topk_set = TopKSet.from_checkpoint(tmp_path, part=part, topk=topk)
        assert_equals_gradiend(topk_set, pruned, part, topk)
        assert topk_set.input_dim == 40
        assert topk_set.space.size == 122
    whole = TopKSet.from_model(model, topk=20)
    assert (
        TopKSet.from_checkpoint(tmp_path, topk=20).base_global_indices().tolist()
        == whole.base_global_indices().tolist()
    )


def test_model_with_gradiend_and_its_gradiend_give_the_same(make_trainer: object) -> None:
    """The wrapper around a base model is looked through."""
    trainer = make_trainer()
    trainer.train()
    model = trainer.get_model()
    wrapped = TopKSet.from_model(model, topk=50)
    assert (
        wrapped == TopKSet.from_model(model.gradiend, topk=50) == TopKSet.from_checkpoint(trainer.model_path, topk=50)
    )
    assert set(wrapped.base_global_indices().tolist()) == set(model.get_topk_weights(topk=50))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_that_are_not_finite_have_no_ranking(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    """A diverged model is an error that names it, never a meaningless set."""
    model = make_model([("weight", (30,), "all")], dtype=dtype)
    with torch.no_grad():
        model.decoder[0].linear.weight[17] = value
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=rf"{tmp_path}: decoder-weight holds values that are not finite"):
        TopKSet.from_checkpoint(tmp_path, topk=3)
    assert len(TopKSet.from_checkpoint(tmp_path, part="encoder-weight", topk=3)) == 3


def test_parts_that_cannot_be_ranked_together(tmp_path: Path) -> None:
    """One that is missing is left out, unless it was the only one; one that has diverged is an error."""
    without_bias = make_model([("weight", (9,), "all")], bias=False)
    assert "decoder-bias" not in TopKSet.all_from_model(without_bias, topk=3)
    with pytest.raises(MissingPartError, match="no bias"):
        TopKSet.all_from_model(without_bias, parts=["decoder-bias"], topk=3)
    diverged = make_model([("weight", (9,), "all")])
    with torch.no_grad():
        diverged.decoder[0].linear.weight[4] = float("nan")
    with pytest.raises(CheckpointError, match="decoder-weight holds values that are not finite"):
        TopKSet.all_from_model(diverged, topk=3)
    assert len(TopKSet.all_from_model(diverged, parts=["encoder-weight"], topk=3)) == 1


def test_ties_go_to_the_lower_position(tmp_path: Path) -> None:
    """Equal importances are ranked by their place in the base model, over chunks too."""
    model = make_model([("a.weight", (10,), "all"), ("b.weight", (10,), "all")])
    with torch.no_grad():
        model.decoder[0].linear.weight.fill_(-0.5)
        model.decoder[0].linear.weight[13] = 0.75
    assert TopKSet.from_model(model, topk=5).base_global_indices().tolist() == [13, 0, 1, 2, 3]


def test_doubles_are_ranked_as_doubles() -> None:
    """Values that are equal as float32 keep their order."""
    model = make_model([("weight", (1000,), "all")], dtype=torch.float64)
    with torch.no_grad():
        model.decoder[0].linear.weight.copy_((0.5 + torch.arange(1000, dtype=torch.float64) * 1e-12)[:, None])
    ours = TopKSet.from_model(model, topk=100).base_global_indices().tolist()
    assert ours == gradiends_topk(model, "decoder-weight", 100) == list(range(999, 899, -1))


@given(
    numbers=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    nudges=st.lists(st.integers(-3, 3), min_size=40, max_size=40),
    k=st.integers(1, 40),
    step=st.sampled_from([1, 7, 1 << 14]),
    sample=st.sampled_from([3, 1 << 16]),
)
@settings(max_examples=300, deadline=None)
def test_ties_of_doubles_are_counted_as_they_are_kept(
    numbers: list[int], nudges: list[int], k: int, step: int, sample: int
) -> None:
    """Doubles that differ and are one float32 tie, above the last one that is in the set or below."""
    importance = np.array(numbers) + np.array(nudges[: len(numbers)]) * 4e-8  # float32 has steps of 6e-8 to 2e-7 here
    model = make_model([("weight", (len(numbers),), "all")], dtype=torch.float64)
    with torch.no_grad():
        model.decoder[0].linear.weight.copy_(torch.from_numpy(importance)[:, None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance_module, "BLOCK_AS_STORED", step)
        patch.setattr(selecting, "SLACK", step // 8)
        patch.setattr(selecting, "SAMPLE", sample)
        topk_set = TopKSet.from_model(model, topk=k)
    kept = np.abs(importance).astype(np.float32)
    assert topk_set.ties_at_cut == np.count_nonzero(kept == topk_set.importance[-1])
    assert topk_set.importance[-1] == np.sort(kept)[::-1][len(topk_set) - 1]


class TestBadCheckpoints:
    """Every fault of a directory is named with the directory."""

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        """A good one, to be spoilt."""
        folder = tmp_path / "model"
        make_model([("a.weight", (4, 5), "indices"), ("b.weight", (6,), "mask"), ("c", (3,), "all")]).save_pretrained(
            folder
        )
        return folder

    def test_missing_directory(self, tmp_path: Path) -> None:
        """Nothing there."""
        with pytest.raises(CheckpointError, match=r"nowhere is not a GRADIEND checkpoint: it has no config\.json"):
            TopKSet.from_checkpoint(tmp_path / "nowhere")

    def test_experiment_directory_points_to_its_model(self, checkpoint: Path) -> None:
        """The directory above is a likely slip."""
        with pytest.raises(CheckpointError, match=r"Did you mean .*model\?"):
            TopKSet.from_checkpoint(checkpoint.parent)

    def test_base_models_config(self, checkpoint: Path, base_model: str) -> None:
        """A base model is no GRADIEND."""
        with pytest.raises(CheckpointError, match="is it the base model's"):
            TopKSet.from_checkpoint(base_model)

    def test_damaged_config(self, checkpoint: Path) -> None:
        """Broken JSON, and JSON without what is needed."""
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text("{")
        with pytest.raises(CheckpointError, match="is not valid JSON"):
            TopKSet.from_checkpoint(checkpoint)
        del config["architecture"]["latent_dim"]
        (checkpoint / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match="latent_dim must be an integer"):
            TopKSet.from_checkpoint(checkpoint)

    def test_deleted_weights(self, checkpoint: Path) -> None:
        """What `delete_models` leaves."""
        (checkpoint / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"holds no weights.*delete_models"):
            TopKSet.from_checkpoint(checkpoint)

    def test_truncated_weights(self, checkpoint: Path) -> None:
        """What a full disk leaves."""
        file = checkpoint / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
            TopKSet.from_checkpoint(checkpoint)

    def test_mapping_of_another_size(self, checkpoint: Path) -> None:
        """A map that selects more than the model has."""
        config = json.loads((checkpoint / "config.json").read_text())
        config["architecture"]["input_dim"] += 1
        (checkpoint / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match="the parameter map selects"):
            TopKSet.from_checkpoint(checkpoint)

    def test_missing_mapping_file(self, checkpoint: Path) -> None:
        """A selection that is not there."""
        (checkpoint / "mapping_masks.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"mapping_masks\.safetensors cannot be read"):
            TopKSet.from_checkpoint(checkpoint, topk=1.0)

    def test_not_a_model(self) -> None:
        """What came is said, and what to pass instead."""
        with pytest.raises(InvalidInputError, match=r"expected a ModelWithGradiend.*got builtins\.str.*pass its path"):
            TopKSet.from_model("some/path")


def test_gradiends_zero_bias_is_why_a_missing_bias_is_an_error() -> None:
    """Gradiend ranks a bias that is not there: all zero, so its first k indices."""
    model = make_model([("weight", (9,), "all")], bias=False)
    assert len(gradiends_topk(model, "decoder-bias", 4)) == 4
    with pytest.raises(MissingPartError):
        TopKSet.from_model(model, part="decoder-bias", topk=4)
