"""What the config of a training loop says."""

from __future__ import annotations

import pytest

from gradiend_mlflow.tracking.loops.loop import LoopConfig


@pytest.mark.parametrize(
    ("config", "seed"),
    [
        ({"seed": 7, "max_seeds": 1, "output_dir": "runs/seed_3"}, 7),
        ({"seed": 7, "max_seeds": 3, "output_dir": "runs/x/seeds/seed_9"}, 9),
        ({"seed": None, "max_seeds": 1}, None),
    ],
)
def test_seed_is_the_loops_own(config: dict[str, object], seed: int | None) -> None:
    """Among several seeds, only the directory says it."""
    assert LoopConfig(config).seed == seed
