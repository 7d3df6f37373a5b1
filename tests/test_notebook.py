"""A notebook that is executed by a kernel, on a real store: what its cells show, and how often."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from mlflow import MlflowClient
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from gradiend_mlflow import TopKSet
from tests.support.sets import log_set, tag_set

ROOT = Path(__file__).parents[1]
# What a cell ends with, and what it shows: nothing, a picture, a table, or a picture that pyplot shows beside a value.
SETUP = """
import mlflow, gradiend_mlflow
from matplotlib import pyplot as plt
mlflow.set_tracking_uri({uri!r})
frame = gradiend_mlflow.search_runs()
groups = dict(zip(frame["run_id"], "aabb"))
comparison = gradiend_mlflow.compare(frame, topk=20, groups=groups)
curve, test, sets = comparison.overlap_curve(), comparison.test_groups(), gradiend_mlflow.load_topk(frame, topk=20)
"""
PICTURES = [
    *(f"comparison.plot_{name}()" for name in ("heatmap", "venn", "upset", "curve", "layers", "groups", "map")),
    "gradiend_mlflow.plot_heatmap(comparison.overlap, figsize='column')",
    "gradiend_mlflow.plot_venn(sets)",
    "gradiend_mlflow.plot_upset(comparison.overlap)",
    "gradiend_mlflow.plot_curve(curve)",
    "gradiend_mlflow.plot_layers(comparison.overlap)",
    "gradiend_mlflow.plot_groups(test)",
    "gradiend_mlflow.plot_map(comparison.map())",
]
SHOWN = ["comparison.plot_heatmap(show=True)", "figure = comparison.plot_venn(show=True)"]
ON_AXES = [
    "fig, ax = plt.subplots()\ncomparison.plot_heatmap(ax)",
    "fig, ax = plt.subplots()\ncomparison.plot_map(ax)",
]
TABLES = [
    "comparison",
    "comparison.overlap",
    "next(iter(sets.values()))",
    "test",
    "curve",
    "comparison.by_layer()",
    "comparison.chance()",
    "gradiend_mlflow.load_comparison(comparison.run_id)",
]
SILENT = ["comparison.plot_heatmap();", "kept = comparison.plot_curve()"]


@pytest.fixture
def outputs(tracking: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What each cell puts out, by its source."""
    random = np.random.default_rng(0)
    for _ in range(4):
        run_id = log_set(tracking, tmp_path, TopKSet.from_indices(random.permutation(60)[:40], space=100))
        digest = hashlib.sha256((tmp_path / "decoder-weight.parquet").read_bytes()).hexdigest()
        tag_set(tracking, run_id, sha256=digest, k=40)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # as where people start their notebooks
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    sources = [SETUP.format(uri=tracking.tracking_uri), *PICTURES, *SHOWN, *ON_AXES, *TABLES, *SILENT]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    if (folder := os.environ.get("KEEP_NOTEBOOK")) is not None:  # to look at it, with nbconvert
        nbformat.write(notebook, Path(folder) / "executed.ipynb")
    return {cell.source: cell.outputs for cell in notebook.cells}


def test_every_cell_shows_what_it_should_once(outputs: dict[str, list[Any]]) -> None:
    """A picture or a table where the cell ends with one, beside the line for where there are no pictures."""
    setup, *_ = outputs.values()
    assert not [one for one in setup if one.output_type != "stream" or "%|" in one.text]  # warnings of libraries
    for source in PICTURES:
        (only,) = outputs[source]
        assert only.output_type == "execute_result", source
        assert set(only.data) == {"image/png", "text/plain"}, source
    for source in SHOWN:
        assert [set(one.data) for one in outputs[source]] == [{"image/png", "text/plain"}], source
    for source in ON_AXES:
        assert [one for one in outputs[source] if "image/png" in one.data] == outputs[source][-1:], source
    for source in TABLES:
        (only,) = outputs[source]
        assert set(only.data) == {"text/html", "text/plain"}, source
        assert "\n" not in only.data["text/plain"]
        assert only.data["text/html"].count("<img") == only.data["text/plain"].startswith("Comparison("), source
        assert len(only.data["text/html"]) < 100_000
    for source in SILENT:
        assert outputs[source] == [], source
