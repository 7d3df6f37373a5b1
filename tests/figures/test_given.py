"""What figures are drawn of: overlaps, sets, checkpoints, models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradiend_mlflow import InvalidInputError, TopKSet, plot_heatmap
from gradiend_mlflow.figures.given import overlap_of
from tests.figures.examples import family, texts
from tests.support.checkpoints import make_model

SETS = {"a": TopKSet.from_indices([1, 2, 3, 4], space=9), "b": TopKSet.from_indices([1, 2, 5, 6], space=9)}


def test_sets_are_cut_or_left_as_they_are() -> None:
    """As `topk` says; a figure takes the mapping in place of an overlap."""
    assert overlap_of(SETS).sizes.tolist() == [4, 4]
    assert overlap_of(SETS, topk=2).intersection[0, 1] == 2
    assert texts(plot_heatmap(SETS, topk=2).axes[0]) == ["100"] * 4
    given = family(([1], [2]))
    assert overlap_of(given) is given


@pytest.mark.parametrize(
    ("given", "options", "match"),
    [
        (family(([1], [2])), {"topk": 3}, "an overlap has been computed with its own"),
        (SETS, {"topk": 5}, "only the top 4 were kept"),
        (SETS, {"part": "encoder-weight"}, "the set of 'a' is of decoder-weight, not of encoder-weight"),
        ({"a": 5, "b": 6}, {}, "."),
        ([1, 2], {}, "expected Overlap or SeedOverlap"),
    ],
)
def test_what_cannot_be_drawn(given: Any, options: dict[str, Any], match: str) -> None:
    """Is refused."""
    with pytest.raises(InvalidInputError, match=match):
        plot_heatmap(given, **options)


def test_models_and_checkpoints(tmp_path: Path) -> None:
    """Are ranked as gradiend's figures rank them: 1000 of the decoder's weights, or as asked."""
    model = make_model([("w", (40, 50), "all")])
    model.save_pretrained(str(tmp_path / "model"))
    overlap = overlap_of({"live": model, "on disk": tmp_path / "model", "as text": str(tmp_path / "model")})
    assert overlap.sizes.tolist() == [1000] * 3
    np.testing.assert_array_equal(overlap.intersection_frac, np.ones((3, 3)))
    few = overlap_of({"live": model, "set": TopKSet.from_model(model, part="encoder-weight")}, 20, "encoder-weight")
    assert few.sizes.tolist() == [20, 20]


def test_sets_load_no_torch(run_python: Callable[[str], str]) -> None:
    """Only models and checkpoints do."""
    script = "import sys\nfrom gradiend_mlflow import TopKSet, plot_heatmap\n"
    script += "plot_heatmap({n: TopKSet.from_indices([1, 2], space=9) for n in 'ab'})\nprint('torch' in sys.modules)"
    assert run_python(script).strip() == "False"


def test_a_set_of_another_part_is_its_own() -> None:
    """Without `part` nothing is asked of the sets."""
    other = {label: replace(one, part="encoder-weight") for label, one in SETS.items()}
    assert overlap_of(other).intersection[0, 1] == 2
