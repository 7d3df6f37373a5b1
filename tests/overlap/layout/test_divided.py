"""How sets divide among groups, against an overlap per group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
from gradiend_mlflow.overlap.layout.divided import divided
from gradiend_mlflow.overlap.layout.signs import shared_sign_agreement
from gradiend_mlflow.overlap.measures import Unit

SPACE = WeightSpace(("layer.0.query", "layer.0.key", "layer.1.query", "bias"), ((4, 3), (4, 3), (4, 3), (5,)))
GROUP_OF_PARAM = np.array([0, 1, 0, 2])


def made(rng: np.random.Generator, k: int, latent_dim: int | None) -> TopKSet:
    """A set with signed weights of so many latent neurons, some of them 0, or with unknown ones."""
    found = TopKSet.from_indices(rng.choice(SPACE.size, k, replace=False), space=SPACE)
    if latent_dim is None:
        return found
    return replace(found, weights=rng.choice([-1.0, 0.0, 1.0], (k, latent_dim)).astype(np.float32))


@pytest.mark.parametrize("unit", ["weight", "neuron"])
@pytest.mark.parametrize("latent_dims", [(1, 1, 1), (2, 2, 2), (1, 2, 1), (1, None, 1)])
@pytest.mark.parametrize("k", [1, 9, SPACE.size])
def test_equals_overlaps_per_group(unit: Unit, latent_dims: tuple[int | None, ...], k: int) -> None:
    """Also where nothing is shared, and where signs are not known or not comparable."""
    rng = np.random.default_rng(k)
    overlap = compute_overlap(
        {f"{i}": made(rng, k, latent_dim) for i, latent_dim in enumerate(latent_dims)}, unit=unit
    )
    grouped = overlap.by_group(lambda param: "abc"[GROUP_OF_PARAM[SPACE.places[param]]])
    found = divided(overlap.ranked, GROUP_OF_PARAM[overlap.params], 3, shared_sign_agreement(overlap.ranked))
    rows = ["abc".index(name) for name in grouped.groups]
    np.testing.assert_array_equal(found.own[rows], grouped.share().to_numpy().reshape(-1, 3))
    np.testing.assert_array_equal(found.shared[rows], grouped.share_of_shared().to_numpy().reshape(-1, 2))
    np.testing.assert_array_equal(found.same_sign[rows], grouped.same_sign().to_numpy().reshape(-1, 2))
    assert not np.nan_to_num(np.delete(found.own, rows, axis=0)).any()
