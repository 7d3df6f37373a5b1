"""Draw the README's picture from what `make demo` has logged: `python docs/make_images.py`."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import gradiend_mlflow

ROOT = Path(__file__).parents[1]


def main() -> None:
    """The heatmap of the demo's six runs, and the Venn diagram of three of them."""
    runs = gradiend_mlflow.search_runs("pronouns", tracking_uri=f"sqlite:///{ROOT}/demo/mlflow.db").tail(6)
    figure = Figure(figsize=(10.6, 4.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    asked = {"topk": 1000, "log": False, "tracking_uri": f"sqlite:///{ROOT}/demo/mlflow.db"}
    gradiend_mlflow.compare(runs, **asked).plot_heatmap(left, title="six pronoun GRADIENDs, decoder-weight, top 1000")
    three = runs[runs["gradiend_run_id"].str.startswith("1SG")]
    gradiend_mlflow.compare(three, **asked).plot_venn(right, title="three of them")
    file = ROOT / "docs" / "images" / "overlap.png"
    figure.savefig(file, dpi=110)
    few_colors = Image.open(file).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few_colors.save(file, optimize=True)


if __name__ == "__main__":
    main()
