"""Where in the model the weights of top-k sets lie: by layer and by component."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gradiend_mlflow.figures.canvas import check_overlap, check_place, new_figure
from gradiend_mlflow.figures.layout import lay_out_grid
from gradiend_mlflow.figures.text import fitting, spell_out
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.naming import component_of, in_model_order, layer_of
from gradiend_mlflow.sets.picture import write_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ANNOTATED_UP_TO = 25
_LABELLED_UP_TO = 80
_ROWS_LABELLED_UP_TO = 100
SHARED_BY_TWO, SHARED_BY_ALL = "in ≥ 2 runs", "in all runs"


def layer_shares(overlap: Overlap, by: str = "layer") -> pd.DataFrame:
    """How much of each set, and of what sets share, lies in each layer or component, in [0, 1].

    Args:
        overlap: The overlap of at least two sets.
        by: "layer" or "component".

    Returns:
        One row per layer or component in which any set has weights, in the model's order; one column per set, and
        two more: the weights that at least two sets hold, and those that all do. A column sums to 1, or is NaN
        where no weight is shared.
    """
    name_of = {"layer": layer_of, "component": component_of}[by]
    groups = [name_of(param) for param in overlap.space.names]
    names = in_model_order(list(dict.fromkeys(groups)))
    place = np.array([names.index(group) for group in groups], dtype=np.int32)[overlap.params]
    presence, n = overlap.presence, len(overlap.labels)
    held = itertools.chain(overlap.ranked.columns, (presence > 1, presence == n))
    counts = np.column_stack([np.bincount(place[own], minlength=len(names)) for own in held])
    totals = counts.sum(axis=0)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    frame = pd.DataFrame(shares, index=names, columns=[*overlap.labels, SHARED_BY_TWO, SHARED_BY_ALL])
    return frame.iloc[np.flatnonzero(counts.any(axis=1))]


def plot_layers(overlap: Overlap, fig: Figure | None = None, *, title: str | None = None) -> Figure:
    """Draw which layers and which components hold the weights of each set, and the weights that sets share.

    Args:
        overlap: The overlap of any number of sets.
        fig: A figure or part of one (SubFigure) to draw into; default a new one of a fitting size, which pyplot does
            not know.
        title: A title above the figure.

    Returns:
        The figure, with layers above and components below: a column per set, in percent of its weights, then those of
        at least two sets, and of all, with their number. A row stands for gradiend's name of it; "other" is what
        is in no layer, or of no known kind. Beyond 80 sets columns have no labels.

    Example:
        >>> from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
        >>> space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
        >>> sets = {"a": TopKSet.from_indices([0, 5], space=space), "b": TopKSet.from_indices([5, 6], space=space)}
        >>> [cell.get_text() for cell in plot_layers(compute_overlap(sets)).axes[0].texts]
        ['50', '0', '0', '0', '50', '100', '100', '100']
    """
    check_overlap(overlap, (Overlap,))
    check_place(title, fig=fig)
    frames = [layer_shares(overlap, "layer"), layer_shares(overlap, "component")]
    n, heights = len(overlap.labels), [max(len(frame), 3) for frame in frames]
    cell = 0.42 if n <= _ANNOTATED_UP_TO else max(6.5 / n, 0.12) if n <= _LABELLED_UP_TO else 6.5 / n
    below = 0.055 * max(map(len, [*fitting(overlap.labels[:_LABELLED_UP_TO]), f"{SHARED_BY_TWO}: 10,000 weights"]))
    if fig is None:
        fig = new_figure((max(cell * (n + 2.3) + 2.8, 5.0), min(0.24 * sum(heights), 16) + below + 1.2))
    grid = fig.add_gridspec(2, 2, height_ratios=heights, width_ratios=(30, 1))
    upper, lower, beside = (fig.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (slice(None), 1)))
    high = max(100 * float(np.nanmax(frame.to_numpy())) for frame in frames)
    shared = [int((overlap.presence > 1).sum()), int((overlap.presence == n).sum())]
    for axes, frame, kind in zip((upper, lower), frames, ("layer", "component"), strict=True):
        _draw_shares(axes, frame, high, shared)
        axes.set_title(f"by {kind}", fontsize=10)
    upper.set_xticks([])
    upper.set_xlabel("")
    bar = fig.colorbar(upper.collections[0], cax=beside)
    bar.set_label("of the set's weights (%)")
    if title:
        fig.suptitle(title)
    spell_out(fig)
    lay_out_grid(fig, grid)
    return fig


def _draw_shares(axes: Axes, frame: pd.DataFrame, high: float, shared: Sequence[int]) -> None:
    """Cells in percent; `shared` are the numbers of weights that the last two columns are percents of."""
    n, rows = frame.shape[1] - 2, len(frame)
    # What is shared stands apart, and stays visible beside 200 sets.
    wide = max(1.0, 0.04 * n)
    starts = np.concatenate([np.arange(n), n + wide * np.array([0.3, 1.3])])
    widths = np.array([1.0] * n + [wide] * 2)
    shares = 100 * frame.to_numpy()
    for columns in (slice(0, n), slice(n, None)):
        edges = np.append(starts[columns], starts[columns][-1] + widths[columns][-1])
        mesh = axes.pcolormesh(edges, np.arange(rows + 1), shares[:, columns], vmin=0, vmax=high, cmap="viridis")
        mesh.set_rasterized(n > _LABELLED_UP_TO)
    middles = starts + widths / 2
    if n <= _ANNOTATED_UP_TO:
        for (row, column), share in np.ndenumerate(shares):
            write_share(axes, float(middles[column]), row + 0.5, share, high)
    named = range(n + 2) if n <= _LABELLED_UP_TO else range(n, n + 2)
    counts = [f"{count:,} weight" + "s" * (count != 1) for count in shared]
    together = [f"{name}: {count}" for name, count in zip(frame.columns[n:], counts, strict=True)]
    names = [*fitting(frame.columns[:n]), *together]
    axes.set_xticks(
        middles[list(named)], [names[column] for column in named], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(np.arange(rows) + 0.5, list(frame.index) if rows <= _ROWS_LABELLED_UP_TO else [""] * rows)
    axes.tick_params(length=0, labelsize=8)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    if n > _LABELLED_UP_TO:
        axes.set_xlabel(f"{n} runs", loc="center")
