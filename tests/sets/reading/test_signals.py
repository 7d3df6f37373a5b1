"""GRADIENDs of gradiend's development line: signals, token selectors, components; checkpoints built by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file

import gradiend_mlflow
from gradiend_mlflow import SpaceConflictError, TopKSet, compute_overlap
from gradiend_mlflow.sets.artifact import load_topk_file, save_topk
from gradiend_mlflow.sets.reading.signals import Signal, unknown_keys
from gradiend_mlflow.sets.space import parse_space
from tests.support.trainings import only_run

PARAMS = {"bert.encoder.layer.0": 6, "bert.encoder.layer.1": 6}
SPLIT = [{"id": "low", "start": 0, "end": 6}, {"id": "high", "start": 6, "end": 12}]


def checkpoint(
    folder: Path,
    *,
    kind: str = "activation",
    selector: str | None = None,
    components: Sequence[Mapping[str, Any]] | None = None,
    weights: torch.Tensor | None = None,
    **more: Any,
) -> Path:
    """A checkpoint as commit 307736e writes it: no bias of the encoder, signal and components in config.json."""
    folder.mkdir(parents=True)
    is_gradient = kind == "gradient"
    space = {"kind": kind, "signal_id": kind, "mapping": []}
    metadata = {} if is_gradient else {"mapping_kind": kind, "signal_id": kind, "signal_space": space}
    names = [name if is_gradient else f"{kind}:{name}" for name in PARAMS]
    shapes = PARAMS.values()
    config = {
        "format_version": 0,
        "architecture": {"input_dim": 12, "latent_dim": 1, "bias_encoder": False, "init_fan_in_floor": 10_000},
        "components": components,
        "component_split_mode": "by_tensor" if components else "none",
        "mapping": {
            "mode": "all",
            "param_map": [
                {"name": name, "shape": [size], "repr": "all", "num_selected": size}
                for name, size in zip(names, shapes, strict=True)
            ],
        },
        "metadata": {"base_model": "tiny", **metadata, **more},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    arguments = {"signal": {"kind": kind, "name": None, "options": {"token_selector": selector} if selector else {}}}
    (folder / "training.json").write_text(
        json.dumps({"training_args": arguments, "training_stats": {"scores": {"1": 1.0}}, "losses": [1.0]})
    )
    column = torch.arange(12, 0, -1.0)[:, None] if weights is None else weights[:, None]
    tensors = {"encoder.0.linear.weight": column.T.clone(), "decoder.0.linear.weight": column}
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_plain_gradient_adds_nothing(tmp_path: Path) -> None:
    """So that the spaces of released versions keep their fingerprints and files."""
    found = TopKSet.from_checkpoint(checkpoint(tmp_path / "a", kind="gradient"), topk=3).space
    assert found.signal == Signal()
    assert b"signal" not in found.to_json()
    assert parse_space(found.to_json()) == found


def test_the_signal_is_read_kept_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    """Its kind, at which tokens, and the components."""
    found = TopKSet.from_checkpoint(checkpoint(tmp_path / "a", selector="cls", components=SPLIT), topk=3)
    assert found.space.signal == Signal("activation", None, '"cls"', ("low", "high"))
    save_topk(found, tmp_path / "set.parquet")
    assert load_topk_file(tmp_path / "set.parquet") == found
    assert load_topk_file(tmp_path / "set.parquet").space.signal == found.space.signal
    others = [checkpoint(tmp_path / "b"), checkpoint(tmp_path / "c", selector="mean")]
    fingerprints = {TopKSet.from_checkpoint(path, topk=3).space.fingerprint for path in others}
    assert len({found.space.fingerprint, *fingerprints}) == 3


@pytest.mark.parametrize("other", ["gradient", "activation_gradient"])
def test_sets_of_different_kinds_are_refused(other: str, tmp_path: Path) -> None:
    """Activations are no weights."""
    sets = {kind: TopKSet.from_checkpoint(checkpoint(tmp_path / kind, kind=kind)) for kind in ("activation", other)}
    with pytest.raises(
        SpaceConflictError, match=rf"'activation' and '{other}' cannot be compared: the first ranks by"
    ):
        compute_overlap(sets)
    with pytest.raises(SpaceConflictError, match="ranks by the signal"):
        sets["activation"].intersection_frac(sets[other])


def test_token_selectors_and_splits_are_noted(tmp_path: Path, tracking: MlflowClient) -> None:
    """The runs can be compared, but one should know."""
    for name, selector in (("cls", "cls"), ("mean", "mean")):
        checkpoint(tmp_path / name / "model", selector=selector, components=SPLIT)
    assert gradiend_mlflow.import_runs(tmp_path, progress=False)["result"].tolist() == ["imported", "imported"]
    comparison = gradiend_mlflow.compare(experiment_names=["Default"], topk=4, log=False)
    assert any(note.startswith("The runs have 2 token selectors") for note in comparison.notes)
    assert any("by_split()" in note for note in comparison.notes)
    assert comparison.by_split().groups == ("low",)


def test_components_are_compared_apart(tmp_path: Path) -> None:
    """The first k of each component, whatever the scales of the components are."""
    few, many = torch.arange(6, 0, -1.0), torch.arange(60, 0, -10.0)
    sets = {
        "a": TopKSet.from_checkpoint(checkpoint(tmp_path / "a", components=SPLIT, weights=torch.cat([few, many]))),
        "b": TopKSet.from_checkpoint(
            checkpoint(tmp_path / "b", components=SPLIT, weights=torch.cat([few.flip(0), many]))
        ),
    }
    overlap = compute_overlap(sets)
    assert overlap.top(6).by_split().groups == ("high",)
    apart = overlap.by_split(topk=3)
    assert apart.groups == ("low", "high")
    frame = apart.to_frame()
    assert frame["weights_a"].tolist() == [3, 3]
    assert frame["shared"].tolist() == [0, 3]
    with pytest.raises(gradiend_mlflow.InvalidInputError, match="same components; these have none in common"):
        compute_overlap({"a": sets["a"], "c": TopKSet.from_checkpoint(checkpoint(tmp_path / "c"))}).by_split()


def test_a_component_that_ends_within_a_parameter_is_named(tmp_path: Path) -> None:
    """So far gradiend makes none; it is left out and not misread."""
    cut = [{"id": "low", "start": 0, "end": 5}, {"id": "high", "start": 5, "end": 12}]
    path = checkpoint(tmp_path / "a", components=cut)
    assert TopKSet.from_checkpoint(path, topk=3).space.signal.split == ()
    assert unknown_keys(json.loads((path / "config.json").read_text())) == ("components",)


def test_a_base_model_without_a_name_is_read(tmp_path: Path) -> None:
    """As gradiend writes a model of which it knows no more."""
    described = {"_type": "BertForMaskedLM", "_repr": "BertForMaskedLM(...)"}
    named, unnamed = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b", base_model=described)
    found = TopKSet.from_checkpoint(unnamed, topk=3)
    assert found.space.base_model is None
    assert found.offsets.tolist() == TopKSet.from_checkpoint(named, topk=3).offsets.tolist()


def test_unknown_keys_are_named_in_a_tag(tmp_path: Path, tracking: MlflowClient) -> None:
    """What a later gradiend may write is not ignored in silence."""
    cut = [{"id": "low", "start": 0, "end": 5}, {"id": "high", "start": 5, "end": 12}]
    checkpoint(tmp_path / "a" / "model", units="volts", components=cut)
    gradiend_mlflow.import_runs(tmp_path, progress=False)
    assert json.loads(only_run(tracking).data.tags["gradiend.unknown_keys"]) == ["metadata.units", "components"]


def test_a_stitched_model_has_no_seed_and_no_best_step(tmp_path: Path, tracking: MlflowClient) -> None:
    """Its components are of several."""
    path = checkpoint(tmp_path / "a" / "model", components=SPLIT)
    content = json.loads((path / "training.json").read_text())
    content["training_args"]["seed"] = 0
    sources = {"low": {"source_seed": 0}, "high": {"source_seed": 1}}
    content["training_stats"] |= {"synthetic_component_stitching": True, "selected_component_sources": sources}
    content["best_score_checkpoint"] = {"global_step": 5, "component_best_steps": {"low": 5, "high": 9}}
    (path / "training.json").write_text(json.dumps(content))
    gradiend_mlflow.import_runs(tmp_path, progress=False)
    run = only_run(tracking)
    assert "gradiend.seed" not in run.data.tags
    assert "best/step" not in run.data.metrics
