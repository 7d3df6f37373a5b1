"""Where one GRADIEND's top-k weights lie, as a picture that each training is logged with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.sets.naming import component_of, in_model_order, layer_of
from gradiend_mlflow.sets.topk import TopKSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger("gradiend_mlflow")


def save_picture(sets: Mapping[Any, TopKSet], folder: Path) -> tuple[Path, ...]:
    """Draw `topk_figure` into a folder; none if it cannot be drawn, which is no reason to go without the sets."""
    path = folder / "topk_layers.png"
    try:
        topk_figure(sets).savefig(path, dpi=100)
    except Exception as error:
        logger.warning("No picture of the top-k weights: %s: %s", type(error).__name__, error)
        return ()
    return (path,)


def topk_figure(sets: Mapping[Any, TopKSet]) -> Figure:
    """Where the weights of one GRADIEND's sets lie: a panel per part, layers by components, in percent of the set.

    No library but matplotlib is used, because trainings draw it; no state outside the figure is read or written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grids = {part: _grid(topk_set) for part, topk_set in sets.items()}
    rows, columns = (max(grid.shape[axis] for grid in grids.values()) for axis in (0, 1))
    size = (len(grids) * (0.42 * columns + 0.5) + 1.6, min(0.26 * rows, 16) + 1.9)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    high = max(float(np.nanmax(grid.to_numpy())) for grid in grids.values())
    for axes, (part, grid) in zip(figure.subplots(1, len(grids), squeeze=False)[0], grids.items(), strict=True):
        _draw_grid(axes, grid, high)
        axes.set_title(f"{part}, top {len(sets[part]):,}", fontsize=9)
        if axes is not figure.axes[0]:
            axes.set_yticks([])
    bar = figure.colorbar(figure.axes[0].images[0], ax=figure.axes, shrink=0.8, pad=0.02)
    bar.set_label("of the set's weights (%)")
    return figure


def _grid(topk_set: TopKSet) -> pd.DataFrame:
    """Percent of a set's weights: a row per layer, a column per component, of all that the model selects from."""
    params = topk_set.space.names
    held = np.bincount(topk_set.param_ids, minlength=len(params)) / len(topk_set) * 100
    layers, components = [layer_of(param) for param in params], [component_of(param) for param in params]
    rows, columns = in_model_order(list(dict.fromkeys(layers))), list(dict.fromkeys(components))
    grid: npt.NDArray[np.float64] = np.full((len(rows), len(columns)), np.nan)  # NaN: the model has none there
    for layer, component, share in zip(layers, components, held, strict=True):
        at = rows.index(layer), columns.index(component)
        grid[at] = np.nan_to_num(grid[at]) + share
    return pd.DataFrame(grid, index=rows, columns=columns)


def _draw_grid(axes: Axes, grid: pd.DataFrame, high: float) -> None:
    values = grid.to_numpy()
    axes.imshow(values, cmap="viridis", vmin=0, vmax=high, aspect="auto")
    axes.set_xticks(range(len(grid.columns)), list(grid.columns), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(grid)), list(grid.index))
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    for row, column in np.argwhere(values >= 0.5):  # noqa: PLR2004  # what rounds to at least 1 %
        write_share(axes, column, row, values[row, column], high)


def write_share(axes: Axes, x: float, y: float, share: float, high: float) -> None:
    """A cell's number, dark on light and light on dark."""
    color = "black" if np.isnan(share) or share > 0.6 * high else "white"
    text = "-" if np.isnan(share) else f"{share:.0f}"
    axes.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
