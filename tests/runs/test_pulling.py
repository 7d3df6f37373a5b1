"""Sets that are pulled, as `docs/measures.md` uses them: the parts of one run beside each other."""

from __future__ import annotations

from itertools import combinations

import pytest
from mlflow import MlflowClient

from gradiend_mlflow import PARTS, InvalidInputError, StoreError, TopKSet, compute_overlap, load_topk, log_topk
from tests.support.checkpoints import make_model

PARAMETERS = [("bert.layer.0.query", (20, 5), "all"), ("bert.layer.1.key", (9,), "all")]


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_the_parts_of_one_run_are_compared(latent_dim: int, tracking: MlflowClient) -> None:
    """Each with each, by the weights that they rank first; signs where both have as many of them."""
    model = make_model(PARAMETERS, latent_dim=latent_dim)
    run_id = tracking.create_run("0").info.run_id
    log_topk(model, run_id=run_id)
    overlap = compute_overlap({part: load_topk([run_id], part=part, topk=30)[run_id] for part in PARTS})
    first = {part: set(TopKSet.from_model(model, part=part, topk=30).base_global_indices().tolist()) for part in PARTS}
    assert overlap.labels == PARTS
    for (a, one), (b, two) in combinations(enumerate(PARTS), 2):
        assert overlap.intersection[a, b] == len(first[one] & first[two])
    if latent_dim == 1:
        assert overlap.cosine_signed.shape == (4, 4)
    else:
        with pytest.raises(InvalidInputError, match="the same number of latent neurons in every set"):
            _ = overlap.cosine_signed


def test_a_part_that_a_run_lacks_is_an_error(tracking: MlflowClient) -> None:
    """Which names those that it has."""
    run_id = tracking.create_run("0").info.run_id
    log_topk(make_model(PARAMETERS, bias=False), run_id=run_id)
    with pytest.raises(StoreError, match=r"no set of the part 'decoder-bias' \(it has: .*decoder-weight"):
        load_topk([run_id], part="decoder-bias", topk=30)
