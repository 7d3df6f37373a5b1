"""Draw the pictures of `docs/gallery.md`: `python docs/make_gallery.py`; with `--ui` the UI's too, by chromium.

The figures are of made-up sets, six features in three languages, whose overlaps are known; so no training is needed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import gradiend_mlflow
from gradiend_mlflow import Overlap, TopKSet, WeightSpace, compute_overlap

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
IMAGES = ROOT / "docs" / "images"
LANGUAGES, FEATURES = ("en", "de", "fr"), ("gender", "number", "person", "race", "religion", "tense")
KINDS = (
    "attention.self.query",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
K = 1000


def made_up_sets(features: tuple[str, ...] = FEATURES) -> dict[str, TopKSet]:
    """Sets that share most within a feature, less within a language, and prefer later layers."""
    names = ["bert.embeddings.word_embeddings.weight"]
    names += [f"bert.encoder.layer.{layer}.{kind}.weight" for layer in range(12) for kind in KINDS]
    space = WeightSpace(tuple(names), ((500, 64), *[(64, 64)] * (len(names) - 1)))
    random = np.random.default_rng(0)
    likely = np.repeat([1.0, *(1 + layer for layer in range(12) for _ in KINDS)], space.sizes)
    pools = {name: random.choice(space.size, K, False, likely / likely.sum()) for name in (*FEATURES, *LANGUAGES)}
    sets = {}
    for feature in features:
        for language in LANGUAGES:
            own = random.choice(space.size, K, False, likely / likely.sum())
            source = random.random(K)
            picked = np.where(source < 0.45, pools[feature], np.where(source < 0.6, pools[language], own))  # noqa: PLR2004
            unique = list(dict.fromkeys(picked.tolist()))
            sets[f"{feature} {language}"] = TopKSet.from_indices(unique[:900], space=space)
    return sets


def save(drawn: Any, name: str, *, dpi: float = 80) -> None:
    """Write one picture."""
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    figure.savefig(IMAGES / f"{name}.png", dpi=dpi)


def draw_figures() -> None:
    """Each figure once, as `docs/gallery.md` calls it."""
    overlap = compute_overlap(made_up_sets())
    groups = {label: label.split()[0] for label in overlap.labels}
    correlation = {label: 0.5 + 0.4 * np.sin(i) ** 2 for i, label in enumerate(overlap.labels)}
    converged = {label: not label.startswith("tense f") for label in overlap.labels}
    save(gradiend_mlflow.plot_heatmap(overlap, groups=groups), "heatmap_groups")
    save(
        gradiend_mlflow.plot_heatmap(
            overlap, cluster=True, scale="sqrt", row_metric=correlation, converged=converged, annot=False
        ),
        "heatmap_cluster",
    )
    save(gradiend_mlflow.plot_venn(_of(overlap, 3), figsize="column"), "venn_three", dpi=150)
    save(gradiend_mlflow.plot_venn(_of(overlap, 5)), "venn_five")
    save(gradiend_mlflow.plot_venn(_of(overlap, 6), figsize="text"), "venn_six")
    save(gradiend_mlflow.plot_upset(overlap, min_sets=2, max_regions=15), "upset")
    save(gradiend_mlflow.plot_curve(overlap), "curve")
    save(gradiend_mlflow.plot_layers(_of(overlap, 6)), "layers")
    save(gradiend_mlflow.plot_groups(overlap.test_groups(groups), figsize="column"), "groups", dpi=150)
    save(gradiend_mlflow.plot_curve(overlap, groups=groups, facet="group", k=500, figsize="text"), "curve_groups")
    save(gradiend_mlflow.plot_heatmap(_of(overlap, 8), figsize="column"), "heatmap_column", dpi=150)


def draw_gradiends() -> None:
    """Gradiend's own heatmap of the sets of `heatmap_column`, in the same size."""
    from gradiend.visualizer.topk.pairwise_heatmap import plot_topk_overlap_heatmap

    models = {label: _Ranked(topk_set) for label, topk_set in list(made_up_sets().items())[:8]}
    size = gradiend_mlflow.plot_heatmap(compute_overlap(dict(list(made_up_sets().items())[:8])), figsize="column")
    figure = Figure(figsize=tuple(size.get_size_inches()), layout="constrained")
    plot_topk_overlap_heatmap(
        models,
        topk=K,
        value="intersection_frac",
        ax=figure.add_subplot(),
        show=False,
    )
    save(figure, "heatmap_gradiend", dpi=150)


class _Ranked:
    """A model as far as gradiend's figures ask for it."""

    def __init__(self, topk_set: TopKSet) -> None:
        self.indices = topk_set.base_global_indices().tolist()

    def get_topk_weights(self, part: str, topk: int) -> list[int]:  # noqa: ARG002  # gradiend names it
        """The first weights."""
        return self.indices[:topk]


def _of(overlap: Overlap, n: int) -> Overlap:
    sets = made_up_sets()
    return compute_overlap({label: sets[label] for label in overlap.labels[:n]})


def photograph_ui() -> None:
    """A server with these sets as runs, their comparison, and what a browser shows of it."""
    from tests.support.browser import chromium
    from tests.support.server import mlflow_server

    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as server:
        comparison = _logged(server, Path(folder))
        experiment = comparison.runs["experiment_id"][0]
        run = f"{server}/#/experiments/{experiment}/runs/{comparison.run_id}"
        training = "?workflowType=machine_learning"
        with chromium() as browser:
            for name, address, ready in (
                ("ui_runs", f"{server}/#/experiments/{experiment}/runs{training}", "gender en"),
                ("ui_description", f"{run}{training}", "on average"),
                ("ui_heatmap", f"{run}/artifacts/overlap_heatmap.png{training}", "overlap_heatmap.png"),
                ("ui_report", f"{run}/artifacts/report.html{training}", "report.html"),
            ):
                # A new window each time: the UI takes an artifact's address only when it starts.
                page = browser.new_page(viewport={"width": 1800, "height": 1000})
                page.goto(address)
                page.get_by_text(ready).first.wait_for(timeout=60_000)
                assistant = page.locator("[data-component-id='mlflow.assistant.chat_panel.close']")
                if assistant.count():  # it takes a third of the window
                    assistant.click()
                if name == "ui_description":
                    page.get_by_text("Show more").first.click()
                if name == "ui_report":
                    frame = page.frame_locator("iframe").first
                    frame.locator("body[data-ready]").wait_for(timeout=60_000)
                    frame.locator("#pairs tbody tr").first.click()
                page.wait_for_timeout(2500)
                page.screenshot(path=IMAGES / f"{name}.png")


def _logged(server: str, folder: Path) -> gradiend_mlflow.Comparison:
    """The made-up sets as training runs would have them, compared."""
    import hashlib
    import json

    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.create_experiment("features", tags={"mlflow.experimentKind": "custom_model_development"})
    for index, (label, topk_set) in enumerate(made_up_sets().items()):
        tags = {"gradiend.kind": "training", "gradiend.run_id": label, "gradiend.converged": str(index != 4).lower()}  # noqa: PLR2004
        run_id = client.create_run(experiment, run_name=label, tags=tags).info.run_id
        file = folder / "decoder-weight.parquet"
        gradiend_mlflow.save_topk(topk_set, file)
        client.log_artifact(run_id, str(file), "gradiend/topk")
        entry = {"path": "gradiend/topk/decoder-weight.parquet", "k": len(topk_set)}
        entry["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        client.set_tag(run_id, "gradiend.topk", json.dumps({"decoder-weight": entry}))
        client.set_terminated(run_id)
    asked: dict[str, Any] = {"experiment_names": "features", "topk": 500, "tracking_uri": server}
    gradiend_mlflow.compare(value="jaccard", **asked)
    return gradiend_mlflow.compare(groups={label: label.split()[0] for label in made_up_sets()}, **asked)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_figures()
    draw_gradiends()
    if "--ui" in sys.argv:
        photograph_ui()
