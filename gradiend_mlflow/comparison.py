"""The question in one call: find runs, pull their sets, compare them, log the answer back to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradiend_mlflow.comparison_run import log_comparison
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures import plot_heatmap, plot_venn
from gradiend_mlflow.measures import Value, check_value
from gradiend_mlflow.overlap import Overlap, compute_overlap
from gradiend_mlflow.runs import complete_frame, load_topk, search_runs
from gradiend_mlflow.store import Store
from gradiend_mlflow.topk import TopKSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Labels = str | Mapping[str, str] | Callable[["pd.Series[Any]"], str] | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """The overlap of some runs' top-k sets, with the runs.

    Attributes:
        overlap: The numbers; rows and columns in the order of `runs`.
        sets: The set of each run, by label.
        runs: The rows of `search_runs`, with a first column `label`.
        part: Which of gradiend's four importances was compared.
        topk: The number or fraction that was asked for.
        value: Which of the overlap's matrices `matrix` and the heatmap show.
        run_id: MLflow's id of the comparison run, or None if it was not logged.
    """

    overlap: Overlap
    sets: Mapping[str, TopKSet] = field(repr=False)
    runs: pd.DataFrame = field(repr=False)
    part: str
    topk: float
    value: Value
    run_id: str | None = None

    @property
    def matrix(self) -> pd.DataFrame:
        """The overlap per pair of runs, labelled on both axes."""
        return self.overlap.to_frame(self.value)

    def plot_heatmap(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw `matrix`; options as for `gradiend_mlflow.plot_heatmap`."""
        return plot_heatmap(self.overlap, ax=ax, **{"value": self.value, **options})

    def plot_venn(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw which weights 2 to 6 runs share; options as for `gradiend_mlflow.plot_venn`.

        Raises:
            InvalidInputError: If there are more than 6 runs.
        """
        return plot_venn(self.overlap, ax=ax, **options)


def compare(
    runs: Sequence[str] | pd.DataFrame | None = None,
    *,
    experiment_names: Sequence[str] | str | None = None,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str = "",
    search_all_experiments: bool = False,
    part: str = "decoder-weight",
    topk: float = 1000,
    value: Value = "intersection_frac",
    labels: Labels = None,
    log: bool = True,
    log_to: str | None = None,
    run_name: str | None = None,
    tracking_uri: str | None = None,
) -> Comparison:
    """Compare the top-k weights of logged runs, from their artifacts alone, and log the answer as a run.

    Args:
        runs: MLflow run ids, or rows of `search_runs`; default those that the next four arguments find.
        experiment_names: As for `search_runs`.
        experiment_ids: As for `search_runs`.
        filter_string: As for `search_runs`.
        search_all_experiments: As for `search_runs`.
        part: Which of gradiend's four importances.
        topk: How many weights, or which fraction of each run's own input_dim.
        value: "intersection" (a count), "intersection_frac" (over the smaller set) or "jaccard".
        labels: How to call the runs: a column of `search_runs`, a mapping from run id, or a callable of a row;
            default gradiend's run_id, else the run's name. Labels that clash are told apart by experiment, seed,
            name or run id, whichever differs.
        log: Whether to log the comparison.
        log_to: The experiment to log it to, made if needed; default that of the runs, or "gradiend-comparisons"
            if they come from several.
        run_name: The comparison run's name.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The comparison. Logged, it is a run of the kind "comparison" with overlap_heatmap and venn (2 to 6 runs) as
        PNG and PDF, matrix.csv, runs.csv and comparison.json: the settings, the numbers, the source runs and the
        SHA-256 of each set.

    Raises:
        InvalidInputError: If fewer than two runs are found, or an argument is not acceptable.
        StoreError: If MLflow cannot be reached, or an experiment or a run or its set does not exist.
        ArtifactError: If a set's file is damaged.
        SpaceConflictError: If two runs have the same parameter with different shapes.
    """
    check_value(value)
    searched = runs is None
    if runs is None:
        runs = search_runs(
            experiment_names,
            experiment_ids=experiment_ids,
            filter_string=filter_string,
            search_all_experiments=search_all_experiments,
            tracking_uri=tracking_uri,
        )
    elif experiment_names is not None or experiment_ids is not None or filter_string or search_all_experiments:
        raise InvalidInputError("give runs, or what to search for; not both")
    frame = complete_frame(runs, tracking_uri=tracking_uri)
    if len(frame) < 2:  # noqa: PLR2004
        found = ", ".join(map(str, frame["run_id"])) or "none"
        where = "all experiments" if search_all_experiments else experiment_names or experiment_ids or "the active one"
        raise InvalidInputError(
            f"compare needs at least two runs with top-k sets; found {len(frame)}: {found}"
            + (f" (experiments: {where}; filter: {filter_string or 'none'})" if searched else "")
        )
    names = _labels(frame, labels)
    pulled = load_topk(frame, part=part, topk=topk, tracking_uri=tracking_uri)
    sets = dict(zip(names, pulled.values(), strict=True))
    frame = frame.reset_index(drop=True).drop(columns="label", errors="ignore")
    frame.insert(0, "label", names)
    comparison = Comparison(compute_overlap(sets), sets, frame, part=part, topk=topk, value=value)
    if not log:
        return comparison
    return replace(
        comparison, run_id=log_comparison(comparison, Store(tracking_uri), log_to=log_to, run_name=run_name)
    )


# ------------------------------------------------------------------------------------------------------------ labels


def _labels(frame: pd.DataFrame, labels: Labels) -> list[str]:
    rows = [row for _, row in frame.iterrows()]
    chosen = [_label(row, labels) for row in rows]
    for clue in (
        lambda row: row.get("experiment"),
        lambda row: f"seed {row.get('seed')}",
        lambda row: row.get("run_name"),
        lambda row: str(row["run_id"])[:8],
        lambda row: row["run_id"],
    ):
        chosen = _told_apart(chosen, [clue(row) for row in rows])
    return chosen


def _label(row: pd.Series[Any], labels: Labels) -> str:
    if labels is None:
        # None and NaN both mean that the run has none.
        own = [row.get(name) for name in ("gradiend_run_id", "run_name", "run_id")]
        return next(str(name) for name in own if isinstance(name, str) and name)
    if isinstance(labels, str):
        if labels not in row.index:
            raise InvalidInputError(f"labels names the column {labels!r}; there are: {', '.join(map(str, row.index))}")
        value = row[labels]
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    if isinstance(labels, Mapping):
        if row["run_id"] not in labels:
            raise InvalidInputError(f"labels has no entry for the run {row['run_id']}")
        return str(labels[row["run_id"]])
    if not callable(labels):
        raise InvalidInputError(f"labels must be a column, a mapping or a callable; got {type(labels).__name__}")
    return str(labels(row))


def _told_apart(labels: Sequence[str], clues: Sequence[Hashable]) -> list[str]:
    """The labels, those that clash and whose clues differ extended by their clue."""
    result = list(labels)
    for label in {label for label in labels if labels.count(label) > 1}:
        same = [index for index, other in enumerate(labels) if other == label]
        if len({clues[index] for index in same}) > 1:
            for index in same:
                result[index] = f"{label} ({clues[index]})"
    return result
