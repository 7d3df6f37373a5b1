"""Two blocks of sets: what they share, however their weights are multiplied."""

from __future__ import annotations

import numpy as np
import pytest

from gradiend_mlflow.overlap.layout import block
from gradiend_mlflow.overlap.layout.block import Block, shared_weights

SIZE = 2**20


@pytest.mark.parametrize("crowded", [0.0, 1 / 16, 2.0])
def test_shared_weights_are_counted(crowded: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights as dense products, some, none; in slices; of a block with itself; and where nothing is shared."""
    monkeypatch.setattr(block, "_CROWDED", crowded)
    monkeypatch.setattr(block, "_COLUMNS", 7)
    rng = np.random.default_rng(0)
    sets = [set(rng.choice(200, rng.integers(1, 100), replace=False).tolist()) for _ in range(9)]
    sets += [set((SIZE - 1 - rng.choice(500, 40, replace=False)).tolist()) for _ in range(3)]
    left, right, apart = sets[:5], sets[5:9], sets[9:]
    for one, other in ((left, right), (left, left), (left, apart), (apart, right)):
        found = shared_weights(_block(one), _block(other))
        assert found.tolist() == [[len(a & b) for b in other] for a in one]


def _block(sets: list[set[int]]) -> Block:
    rows = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    keys = np.array([key for one in sets for key in one])
    return Block.of(rows, keys, len(sets), SIZE)
