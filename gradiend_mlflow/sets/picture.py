"""A picture of where one GRADIEND's top-k weights lie, which each training logs; cells of such pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.anatomy.naming import in_model_order, namers
from gradiend_mlflow.sets.topk import TopKSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYERS_FILE = "topk_layers.png"
SHARE_TITLE = "of the set's weights (%)"


def save_picture(sets: Mapping[Any, TopKSet], folder: Path) -> tuple[Path, ...]:
    """Save `topk_figure` in a folder; returns its path, or nothing after a warning, since sets matter more than it."""
    path = folder / LAYERS_FILE
    try:
        topk_figure(sets).savefig(path, dpi=100)
    except Exception as error:
        logger.warning("No picture of the top-k weights: %s: %s", type(error).__name__, error)
        return ()
    return (path,)


def topk_figure(sets: Mapping[Any, TopKSet]) -> Figure:
    """Draw a panel per set, with the percentage of its weights in each layer (row) and component (column).

    It needs no library but matplotlib, because trainings draw it, and changes no state outside the figure.
    """
    from matplotlib.figure import Figure

    grids = {part: _grid(topk_set) for part, topk_set in sets.items()}
    rows, columns = (max(grid.shape[axis] for grid in grids.values()) for axis in (0, 1))
    size = (len(grids) * (0.42 * columns + 0.5) + 1.6, min(0.26 * rows, 16) + 1.9)
    figure = Figure(figsize=size, layout="constrained")
    high = max(float(np.nanmax(grid.to_numpy())) for grid in grids.values())
    for axes, (part, grid) in zip(figure.subplots(1, len(grids), squeeze=False)[0], grids.items(), strict=True):
        axes.imshow(grid, cmap="viridis", vmin=0, vmax=high, aspect="auto")
        label_cells(axes, range(grid.shape[1]), list(grid.columns), range(len(grid)), list(grid.index))
        for (row, column), share in np.ndenumerate(grid.to_numpy()):
            if share >= 0.5:  # noqa: PLR2004  # what rounds to at least 1 %
                write_share(axes, column, row, share, high)
        axes.set_title(f"{part}, top {len(sets[part]):,}", fontsize=9)
        if axes is not figure.axes[0]:
            axes.set_yticks([])
    figure.colorbar(figure.axes[0].images[0], ax=figure.axes, shrink=0.8, pad=0.02, label=SHARE_TITLE)
    return figure


def _grid(topk_set: TopKSet) -> pd.DataFrame:
    """Percent of a set's weights, a row per layer and a column per component; NaN where the model has no weights."""
    params = topk_set.space.names
    name_of = namers(params)
    layers, components = ([name_of[kind](param) for param in params] for kind in ("layer", "component"))
    shares = pd.Series(np.bincount(topk_set.param_ids, minlength=len(params)) / len(topk_set) * 100)
    grid = shares.groupby([layers, components]).sum().unstack()  # noqa: PD010  # of two levels of an index
    return grid.reindex(index=in_model_order(list(dict.fromkeys(layers))), columns=list(dict.fromkeys(components)))


def label_cells(axes: Axes, xs: Any, columns: Sequence[str], ys: Any, rows: Sequence[str]) -> None:
    """Name the columns at `xs` and the rows at `ys` of cells without a frame."""
    axes.set_xticks(xs, columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ys, rows)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)


def write_share(axes: Axes, x: float, y: float, share: float, high: float) -> None:
    """Write a cell's percentage, dark on light and light on dark."""
    color = "black" if np.isnan(share) or share > 0.6 * high else "white"
    text = "-" if np.isnan(share) else f"{share:.0f}"
    axes.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
