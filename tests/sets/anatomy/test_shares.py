"""Which share of a set lies where."""

from __future__ import annotations

import numpy as np

from gradiend_mlflow.sets.anatomy.shares import shares_of
from tests.figures.examples import SPACE


def test_shares_by_layer_and_component() -> None:
    """In the model's order; cells that the model does not have are NaN, those without top weights 0."""
    shares = shares_of(SPACE.names, np.array([0, 1, 1, 4]))
    assert shares.components == ("embedding", "attention_query", "mlp_down")
    assert shares.layers == ("layer_0", "layer_1", "layer_10", "other")
    nan = np.nan
    np.testing.assert_array_equal(shares.percent, [[nan, 50, nan], [nan, 0, 0], [nan, nan, 25], [25, nan, nan]])
