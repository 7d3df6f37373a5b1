"""Draw the pictures of the gallery: `python docs/make_gallery.py`; with `--ui` the UI's too, by chromium.

Most are of the six GRADIENDs that `make demo` trains, at the widths of a column and of the text of a paper, in its 8
points. Those of groups are of made-up sets, six features in three languages, whose overlaps are known. Gradiend's own
Venn diagrams take `pip install matplotlib-venn venn`, which nothing else does.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import gradiend_mlflow
from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
IMAGES = ROOT / "docs" / "images"
LANGUAGES, FEATURES = ("en", "de", "fr"), ("gender", "number", "person", "race", "religion", "tense")
KINDS = (
    "attention.self.query",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
K, WIDTHS = 1000, ("column", "text")


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


def save(name: str, *drawn: Any, dpi: float = 100) -> None:
    """Write figures side by side as one picture of few colors."""
    pictures = [_picture(one, dpi) for one in drawn]
    gap = round(0.25 * dpi) * (len(pictures) > 1)
    width = sum(picture.width + gap for picture in pictures) - gap
    whole = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + gap
    _write(whole, name)


def _write(picture: Image.Image, name: str) -> None:
    """Save a picture in 256 colors, a third of the bytes."""
    colors = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    colors.save(IMAGES / f"{name}.png", optimize=True)


def _picture(drawn: Any, dpi: float) -> Image.Image:
    file = io.BytesIO()
    (drawn.figure if isinstance(drawn, Axes) else drawn).savefig(file, dpi=dpi)
    return Image.open(file).convert("RGB")


def both(plot: Callable[..., Any], of: Any, **options: Any) -> tuple[Any, ...]:
    """A figure at the width of a column and of the text."""
    return tuple(plot(of, figsize=width, **options) for width in WIDTHS)


def draw_trained(sets: dict[str, TopKSet]) -> None:
    """The figures of the quickstart's runs, as `docs/gallery.md` calls them, and gradiend's own of the same."""
    whole = compute_overlap(sets)
    overlap = compute_overlap({label: one.top(K) for label, one in sets.items()})
    three = compute_overlap({label: sets[label].top(K) for label in list(sets)[:3]})
    five = compute_overlap({label: sets[label].top(K) for label in list(sets)[:5]})
    save("heatmap", *both(gradiend_mlflow.plot_heatmap, overlap))
    save("venn_three", *both(gradiend_mlflow.plot_venn, three))
    save("venn_five", *both(gradiend_mlflow.plot_venn, five))
    save("venn_six", *both(gradiend_mlflow.plot_venn, overlap))
    save("upset", *both(gradiend_mlflow.plot_upset, overlap))
    save("curve", *both(gradiend_mlflow.plot_curve, whole, k=K))
    save("layers", *both(gradiend_mlflow.plot_layers, overlap))
    draw_gradiends(sets, heatmap=[figure.get_size_inches() for figure in both(gradiend_mlflow.plot_heatmap, overlap)])


def draw_made_up() -> None:
    """The figures of 18 sets, whose overlaps are known: what groups, clusters and maps are for."""
    overlap = compute_overlap(made_up_sets())
    groups = {label: label.split()[0] for label in overlap.labels}
    correlation = {label: 0.5 + 0.4 * np.sin(i) ** 2 for i, label in enumerate(overlap.labels)}
    converged = {label: not label.startswith("tense f") for label in overlap.labels}
    save("heatmap_groups", *both(gradiend_mlflow.plot_heatmap, overlap, groups=groups))
    clustered = gradiend_mlflow.plot_heatmap(
        overlap, cluster=True, scale="sqrt", row_metric=correlation, converged=converged, annot=False, figsize="text"
    )
    save("heatmap_cluster", clustered)
    save(
        "curve_groups",
        gradiend_mlflow.plot_curve(overlap, groups=groups, facet="group", k=500, figsize="text"),
    )
    save("groups", *both(gradiend_mlflow.plot_groups, overlap.test_groups(groups)))
    save("map", *both(gradiend_mlflow.plot_map, overlap.map(), groups=groups))
    save("tree", *both(gradiend_mlflow.plot_tree, overlap, groups=groups))


def draw_doubts() -> None:
    """What docs/trust.md says of k and of seeds, of sets made as there."""
    rng = np.random.default_rng(0)
    space = 1_000_000

    def made_of(common: Any, k: int) -> TopKSet:
        drawn = rng.choice(space, k + len(common), replace=False)
        others = drawn[~np.isin(drawn, common)]
        return TopKSet.from_indices([*common, *others][:k], space=space)

    few = rng.choice(space, 20, replace=False)
    pairs = {"20 in common": few, "nothing in common": few[:0]}
    sets = {f"{name} {run}": made_of(common, 100_000) for name, common in pairs.items() for run in "ab"}
    groups = {label: label[:-2] for label in sets}
    save("doubt_k", gradiend_mlflow.plot_curve(compute_overlap(sets), groups=groups, figsize="text"))

    trainings = {name: rng.choice(space, K, replace=False) for name in ("he → she", "he → it")}
    seeds = {
        f"{name}, seed {seed}": made_of(rng.permutation(true)[:750], K)
        for name, true in trainings.items()
        for seed in range(3)
    }
    save(
        "doubt_seeds",
        gradiend_mlflow.plot_heatmap(compute_overlap(seeds), groups=_before_comma(seeds), figsize="column"),
    )


def _before_comma(labels: Any) -> dict[str, str]:
    return {label: label.partition(",")[0] for label in labels}


def draw_gradiends(sets: dict[str, TopKSet], heatmap: list[Any]) -> None:
    """Gradiend's own figures of the same sets, in figures of the same sizes.

    Its Venn diagrams need the packages matplotlib-venn and venn, which are none of ours; without them they are left
    as they are.
    """
    from gradiend.visualizer.topk.pairwise_heatmap import plot_topk_overlap_heatmap

    models: Any = {label: _Ranked(topk_set) for label, topk_set in sets.items()}
    figures = [Figure(figsize=tuple(size), layout="constrained") for size in heatmap]
    for figure in figures:
        plot_topk_overlap_heatmap(models, topk=K, value="intersection_frac", ax=figure.add_subplot(), show=False)
    save("heatmap_gradiend", *figures)
    if not all(map(find_spec, ("matplotlib_venn", "venn"))):
        print(  # noqa: T201  # a script
            "venn_gradiend.png is left as it is: drawing it takes `pip install matplotlib-venn venn`"
        )
        return
    mpl.use("Agg")
    from gradiend.visualizer.topk.venn_ import plot_topk_venn
    from matplotlib import pyplot as plt

    drawn = []
    for size in (3.3, 7.0):
        plot_topk_venn({label: models[label] for label in list(models)[:3]}, topk=K, figsize=(size, 0.8 * size))
        drawn.append(plt.gcf())
    save("venn_gradiend", *drawn)
    plt.close("all")


class _Ranked:
    """A model as far as gradiend's figures ask for it."""

    def __init__(self, topk_set: TopKSet) -> None:
        self.indices = topk_set.base_global_indices().tolist()

    def get_topk_weights(self, part: str, topk: int) -> list[int]:  # noqa: ARG002  # gradiend names it
        """The first weights."""
        return self.indices[:topk]


def trained_sets() -> dict[str, TopKSet]:
    """The logged sets of the quickstart's six runs, which are trained now if they are not there."""
    demo = ROOT / "demo"
    if not (demo / "mlflow.db").is_file():
        subprocess.run([sys.executable, ROOT / "examples" / "quickstart.py", "--output", demo], check=True)  # noqa: S603  # our own script
    uri = f"sqlite:///{demo}/mlflow.db"
    runs = gradiend_mlflow.search_runs("pronouns", tracking_uri=uri).tail(6)
    sets = gradiend_mlflow.load_topk(runs, part="decoder-weight", topk=10_000, tracking_uri=uri)
    return {label.replace("_", "->"): one for label, one in zip(runs["gradiend_run_id"], sets.values(), strict=True)}


def photograph_ui() -> None:
    """A server with the quickstart's trainings and made-up ones, and what a browser shows of them."""
    from tests.support.browser import chromium
    from tests.support.server import mlflow_server

    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as server, chromium() as browser:
        pronouns = _trained(server, Path(folder) / "demo")
        comparison = _logged(server, Path(folder))
        run = f"{server}/#/experiments/{comparison.runs['experiment_id'][0]}/runs/{comparison.run_id}"
        training = "?workflowType=machine_learning"
        views = f"{server}/#/experiments/{pronouns}/runs{training}&viewStateShareKey=gradiend"
        for name, address, ready in (
            ("ui_runs", f"{views}-trainings", "gradiend.target_classes"),
            ("ui_charts", f"{views}-trainings&compareRunsMode=CHART", "eval/correlation"),
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
            page.wait_for_timeout(4000)
            _picture_of_page(page.screenshot(), name)


def _trained(server: str, folder: Path) -> str:
    """The quickstart's trainings, tracked by a server, and their models; returns their experiment's id."""
    settings = os.environ | {"MLFLOW_TRACKING_URI": server}
    command = [sys.executable, ROOT / "examples" / "quickstart.py", "--output", folder]
    subprocess.run(command, check=True, env=settings)  # noqa: S603  # our own script
    runs = gradiend_mlflow.search_runs("pronouns", tracking_uri=server)
    for run_id, name in zip(runs["run_id"], runs["run_name"], strict=True):
        gradiend_mlflow.log_model(folder / "runs" / name / "model", run_id=run_id, tracking_uri=server)
    return str(runs["experiment_id"][0])


def _picture_of_page(png: bytes, name: str) -> None:
    page = Image.open(io.BytesIO(png)).convert("RGB")
    page = page.resize((page.width * 3 // 4, page.height * 3 // 4), Image.Resampling.LANCZOS)
    _write(page, name)


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
    with mpl.rc_context({"font.size": 8}):
        draw_trained(trained_sets())
        draw_made_up()
        draw_doubts()
    if "--ui" in sys.argv:
        photograph_ui()
