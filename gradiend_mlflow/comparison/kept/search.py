"""Finding logged comparisons: a frame with what each asked and answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.comparison.chosen.selection import FINISHED
from gradiend_mlflow.comparison.loading import fetch_facts
from gradiend_mlflow.errors import GradiendMLflowError, logger
from gradiend_mlflow.overlap.measures import Unit, Value, check_unit, check_value
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.runs.search import experiments_of, ids_of, time_of
from gradiend_mlflow.sets.parts import check_part, check_topk
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.reader import LoggedRun, Reader

# What a comparison answers, by column: its metrics.
_ANSWERS = {
    "mean": tags.OVERLAP_MEAN,
    "within": tags.OVERLAP_WITHIN,
    "between": tags.OVERLAP_BETWEEN,
    "lift": tags.OVERLAP_LIFT,
    "group_p": tags.OVERLAP_GROUP_P,
}
_COLUMNS = (
    *("run_id", "run_name", "experiment", "part", "topk", "value", "unit", "n_runs", *_ANSWERS),
    *("start_time", "source_runs", "experiment_id"),
)
_TYPES = {"n_runs": "Int64", **dict.fromkeys(_ANSWERS, "float64"), "start_time": "datetime64[ms, UTC]"}


def search_comparisons(
    experiment_names: Sequence[str] | str | None = None,
    *,
    experiment_ids: Sequence[str] | str | None = None,
    search_all_experiments: bool = False,
    runs: Sequence[str] | pd.DataFrame | None = None,
    part: str | None = None,
    topk: float | None = None,
    value: Value | None = None,
    unit: Unit | None = None,
    max_results: int | None = None,
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Find logged comparisons, newest first; those that failed or are not finished are none.

    Args:
        experiment_names: Names of experiments to search; default the active experiment.
        experiment_ids: Ids of experiments to search, besides the named ones.
        search_all_experiments: Search every experiment of the server instead.
        runs: Only comparisons that compare all of these runs, and perhaps others: run ids, or rows of `search_runs`.
            A training counts as compared where its seeds are.
        part: Only comparisons of this part, such as "decoder-weight".
        topk: Only comparisons of this number, or fraction, of weights.
        value: Only comparisons by this measure, such as "jaccard".
        unit: Only comparisons of this unit, "weight" or "neuron".
        max_results: Return no more rows than this; default all.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        One row per comparison: run_id, run_name, experiment, part, topk (an int, or a float for a fraction), value,
        unit, n_runs (how many are compared; int), mean (of all pairs), within and between (groups), lift (over
        chance), group_p (of the test of the groups), start_time (UTC), source_runs (tuple of the compared runs' ids)
        and experiment_id. Numbers that a comparison does not have are NaN: one without groups has no `group_p`.
        `load_comparison` takes a row.

    Raises:
        StoreError: If an experiment does not exist, or MLflow cannot be reached.
        InvalidInputError: If an argument is not acceptable.

    Example:
        ::

            found = search_comparisons("pronouns", value="jaccard")
            load_comparison(found.iloc[0]).matrix
    """
    asked = {
        "part": None if part is None else check_part(part),
        "topk": None if topk is None else str(check_topk(topk)),
        "value": None if value is None else check_value(value),
    }
    if unit is not None:
        check_unit(unit)
    wanted = set() if runs is None else set(ids_of(runs))
    if max_results is not None:
        check_int("max_results", max_results, least=1)
    flush()  # so that the comparisons' runs of this process are found
    store = Reader(tracking_uri)
    experiments = experiments_of(store, experiment_names, experiment_ids, everywhere=search_all_experiments)
    clauses = [f"params.{name} = '{text}'" for name, text in asked.items() if text is not None]
    found = store.search(
        list(experiments),
        " AND ".join([f"tags.`{tags.KIND}` = '{tags.COMPARISON}' AND attributes.status = '{FINISHED}'", *clauses]),
        order_by=["attributes.start_time DESC"],
        max_results=max_results if not wanted and unit is None else None,
    )
    rows: list[dict[str, Any]] = []
    for run in found:
        if len(rows) == max_results:
            break
        if unit not in (None, _unit(run)):
            continue
        compared = _compared(store, run)
        if wanted <= {*compared, *tags.strings_of(run.tags, tags.SOURCE_TRAININGS)}:
            rows.append(_row(run, compared, experiments.get(run.experiment_id, run.experiment_id)))
    return pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object).astype(_TYPES)


def _compared(store: Reader, run: LoggedRun) -> tuple[str, ...]:
    """The ids of the runs that a comparison is of; its file has them where they are too many for a tag."""
    if tags.SOURCE_RUNS in run.tags:
        return tuple(tags.strings_of(run.tags, tags.SOURCE_RUNS))
    try:
        rows = fetch_facts(store, run).rows
    except GradiendMLflowError as error:
        logger.warning("Which runs the comparison %s is of is not known: %s", run.run_id, error)
        return ()
    return tuple(dict.fromkeys(row[name] for name in ("run_id", TRAINING_RUN) for row in rows if row[name]))


def _row(run: LoggedRun, compared: tuple[str, ...], experiment: str) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "run_name": run.name,
        "experiment": experiment,
        "part": run.params.get("part"),
        "topk": _number(run.params.get("topk")),
        "value": run.params.get("value"),
        "unit": _unit(run),
        "n_runs": _number(run.params.get("n_runs"), whole=True),
        **{column: run.metrics.get(metric) for column, metric in _ANSWERS.items()},
        "start_time": time_of(run.start_time),
        "source_runs": compared,
        "experiment_id": run.experiment_id,
    }


def _unit(run: LoggedRun) -> str:
    return run.params.get("unit", "weight")  # what comparisons are of that were logged before there was a choice


def _number(text: str | None, *, whole: bool = False) -> float | None:
    """The number that a param says; None if it says none, because anybody may have written it."""
    if text is None or len(text) > 20:  # noqa: PLR2004  # more digits than a number of weights has
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return None if whole else float(text)
    except ValueError:
        return None
