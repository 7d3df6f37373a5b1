"""Base models that are not as a folder on disk has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gradiend.model import ParamMappedGradiendModel
from mlflow import MlflowClient
from transformers import AutoModelForMaskedLM

import gradiend_mlflow
from gradiend_mlflow import TopKSet, compare, load_topk, search_runs
from tests.support.trainings import make_trainer_of


@pytest.mark.long
def test_a_compiled_base_model(base_model: str, tmp_path: Path, tracking: MlflowClient) -> None:
    """Its parameters have other names, its weights are the same: trained equally, it changes the same ones."""
    compiled = torch.compile(AutoModelForMaskedLM.from_pretrained(base_model), backend="eager")
    gradiend_mlflow.autolog(topk=100)
    trainers = {}
    for name, model in (("plain", base_model), ("compiled", compiled)):
        trainers[name] = make_trainer_of(model, tmp_path / name, ("3SG", "3PL"))
        trainers[name].train()
    runs = search_runs("Default")
    assert compare(runs, topk=100, log=False).matrix.to_numpy().min() == 1.0
    model = ParamMappedGradiendModel.from_pretrained(str(trainers["compiled"].model_path))
    assert any(name.startswith("_orig_mod.") for name in model.param_map)
    for found in (TopKSet.from_model(model, topk=100), *load_topk(runs, topk=100).values()):
        assert found == TopKSet.from_checkpoint(trainers["plain"].model_path, topk=100)
