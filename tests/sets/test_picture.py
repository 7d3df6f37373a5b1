"""The picture that each training logs."""

from __future__ import annotations

import numpy as np

from gradiend_mlflow import (
    TopKSet,
)
from gradiend_mlflow.sets.picture import topk_figure
from tests.figures.examples import SPACE, texts, ticks


def test_the_picture_of_one_run() -> None:
    """A panel per part: layers by components; cells that the model does not have are empty."""
    one, two = (TopKSet.from_indices(x, space=SPACE) for x in ([0, 11, 12, 41], [20]))
    figure = topk_figure({"decoder-weight": one, "encoder-weight": two})
    left, right = figure.axes[:2]
    assert [axes.get_title() for axes in (left, right)] == ["decoder-weight, top 4", "encoder-weight, top 1"]
    assert ticks(left) == (
        ["embedding", "attention_query", "mlp_down"],
        ["layer_0", "layer_1", "layer_10", "other"],
    )
    shown = left.images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(
        shown, [[np.nan, 50, np.nan], [np.nan, 0, 0], [np.nan, np.nan, 25], [25, np.nan, np.nan]]
    )
    assert texts(left) == ["50", "25", "25"]
