"""report.html: its data, its size, and that it needs nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradiend_mlflow.comparison.report import report_data, write_report
from tests.support.comparisons import comparison_of


def test_the_data_are_the_comparisons() -> None:
    """Every pair at every k, and what was asked in its place."""
    comparison = comparison_of(4)
    data = report_data(comparison)
    assert [step["name"] for step in data["steps"]] == ["top 10", "top 20 (as asked)", "top 50", "top 60"]
    assert data["asked"] == 1
    rows = np.triu_indices(4, k=1)
    for step, k in zip(data["steps"], (10, 20, 50, 60), strict=True):
        overlap = comparison.whole.top(k)
        assert step["sizes"] == [k] * 4
        assert step["shared"] == overlap.intersection[rows].tolist()
        np.testing.assert_allclose(step["expected"], overlap.chance().expected[rows], rtol=1e-3)
        np.testing.assert_allclose(step["p"], -np.log10(overlap.chance().p_value[rows]), atol=1e-2)


def test_the_shared_weights_are_there() -> None:
    """Each that two runs hold, what it is, the runs' ranks and signed weights."""
    comparison = comparison_of(3)
    data = report_data(comparison)
    assert len(data["weights"]) == len(comparison.shared_weights())
    for row, expected in zip(data["weights"], comparison.shared_weights().to_dict("records"), strict=True):
        param, coordinates, head, neuron, token, runs, ranks, signed = row
        assert data["params"][param] == (expected["param"], expected["layer"], expected["component"])
        assert (tuple(coordinates), tuple(ranks)) == (expected["coordinates"], expected["ranks"])
        for name, cell in (("head", head), ("neuron", neuron), ("token", token)):
            assert cell == (None if pd.isna(expected[name]) else expected[name])
        assert [data["labels"][run] for run in runs] == list(expected["runs"])
        np.testing.assert_allclose(signed, expected["weights"], rtol=0.01)
    assert {row[4] for row in data["weights"]} > {None, "[MASK]"}


def test_weights_that_are_not_known_are_none() -> None:
    """As of sets that hold places only."""
    data = report_data(comparison_of(2, signed=False))
    assert {weight for row in data["weights"] for weight in row[-1]} == {None}


def test_other_measures_come_as_numbers() -> None:
    """Those that the page cannot compute from counts."""
    comparison = comparison_of(3, value="rbo")
    step = report_data(comparison)["steps"][1]
    np.testing.assert_allclose(step["values"], comparison.overlap.rbo[np.triu_indices(3, k=1)], rtol=1e-3)


@pytest.mark.long
def test_many_runs_stay_within_bounds(tmp_path: Path) -> None:
    """Fewer positions of the slider, the first runs only; the page says so."""
    data = report_data(comparison_of(510, k=2, stored=200))
    assert len(data["labels"]) == 500
    assert len(data["steps"]) <= 4
    assert data["left_out"] == [
        "the first 500 of 510 runs are shown",
        "the slider has fewer positions, because there are many pairs",
    ]
    page = tmp_path / "report.html"
    write_report(comparison_of(100), page)
    assert page.stat().st_size < 400_000


def test_of_many_trainings_only_whole_ones_are_shown() -> None:
    """The last may lack seeds, and would then have other numbers than it has."""
    comparison = comparison_of(
        170, k=5, stored=5, seeds=3, aggregate="mean", groups={f"run {row}": "ab"[row > 50] for row in range(170)}
    )
    trainings, seeds = report_data(comparison)["views"]
    assert (trainings["name"], seeds["name"]) == ("trainings", "seeds")
    assert trainings["labels"] == list(comparison.shown.labels)[:166]
    assert len(seeds["labels"]) == len(seeds["levels"][1]["of"]) == 500
    assert trainings["levels"][0]["of"] == [0] * 51 + [1] * 115


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    """It loads no address and stores nothing; the same comparison gives the same bytes."""
    page = tmp_path / "report.html"
    write_report(comparison_of(3), page)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(|localStorage|sessionStorage|fetch\(""", text)
    packed = re.search(r'id="data">([^<]+)<', text)
    assert packed is not None
    assert json.loads(gzip.decompress(base64.b64decode(packed[1])))["labels"] == ["run 0", "run 1", "run 2"]
    write_report(comparison_of(3), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_the_page_may_run_its_own_script_only(tmp_path: Path) -> None:
    """Its policy has the script's digest, and forbids what it does not name."""
    page = tmp_path / "report.html"
    write_report(comparison_of(2), page)
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy is not None
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert policy[1].split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
    ]
