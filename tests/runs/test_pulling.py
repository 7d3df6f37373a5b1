"""Sets that are pulled, as `docs/measures.md` uses them: the parts of one run beside each other."""

from __future__ import annotations

import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gradiend_mlflow import (
    PARTS,
    InvalidInputError,
    StoreError,
    TopKSet,
    compare,
    compute_overlap,
    load_topk,
    log_topk,
)
from tests.support.checkpoints import make_model
from tests.support.proxy import Proxy
from tests.support.sets import log_training

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


def test_bad_files_do_not_hold_up_the_others(server: str, tmp_path: Path) -> None:
    """Eight of twelve answer 500, so that every thread meets one first; they are named, soon, and the others come."""
    proxy, client = Proxy(server), MlflowClient(server)
    made = client.create_experiment("with bad files")
    sets = [TopKSet.from_indices(range(first, first + 20), space=100) for first in range(12)]
    ids = [log_training(client, tmp_path, one, experiment_id=made) for one in sets]

    def fault(method: str, path: str) -> int | None:
        return 500 if "artifacts/" in path and any(run_id in path for run_id in ids[:8]) else None

    proxy.fault = fault
    begun = time.monotonic()
    comparison = compare(ids, topk=10, log=False, tracking_uri=proxy.uri)
    proxy.close()
    assert time.monotonic() - begun < 15
    assert comparison.runs["run_id"].tolist() == ids[8:]
    assert [run.run_id for run in comparison.skipped] == ids[:8]
    assert all("Other files come, so this one may be gone" in run.reason for run in comparison.skipped)
    assert max(Counter(path for _, path in proxy.requests if "artifacts/" in path).values()) == 6


def test_a_server_that_recovers_is_waited_for(server: str, tmp_path: Path) -> None:
    """No file has come from it, so that none is to blame."""
    proxy, client = Proxy(server), MlflowClient(server)
    ids = [log_training(client, tmp_path, TopKSet.from_indices(range(20), space=100)) for _ in range(2)]
    asked = Counter[str]()

    def fault(method: str, path: str) -> int | None:
        asked[path] += "artifacts/" in path
        return 500 if 0 < asked[path] <= 5 else None

    proxy.fault = fault
    assert len(load_topk(ids, topk=10, tracking_uri=proxy.uri)) == 2
    proxy.close()
