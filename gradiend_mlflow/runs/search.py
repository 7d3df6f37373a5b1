"""Finding logged runs: a frame with what the runs say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import pandas as pd

from gradiend_mlflow.errors import GradiendMLflowError, InvalidInputError
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.reader import Reader
from gradiend_mlflow.store.tags import sets_of
from gradiend_mlflow.wording import lines_of, some_of

if TYPE_CHECKING:
    from gradiend_mlflow.store.reader import LoggedRun

T = TypeVar("T")

COLUMNS = (
    "run_id",
    "run_name",
    "gradiend_run_id",
    "experiment",
    "base_model",
    "target_classes",
    "seed",
    "converged",
    "correlation",
    "parts",
    "k",
    "start_time",
    "status",
    "experiment_id",
    "artifact_uri",
    "sets",
    "params",
    "tags",
)
_KINDS = (tags.TRAINING, tags.SEED_RUN, tags.COMPARISON)
PARALLEL_REQUESTS = 8  # MLflow keeps 10 connections; more than that are made anew for every file


def search_runs(
    experiment_names: Sequence[str] | str | None = None,
    *,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str = "",
    search_all_experiments: bool = False,
    kinds: Sequence[str] | str = (tags.TRAINING,),
    complete: bool = True,
    order_by: Sequence[str] | str = ("attributes.start_time ASC",),
    max_results: int | None = None,
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Find the training runs that have top-k sets, oldest first.

    Args:
        experiment_names: Names of experiments to search; default the active experiment.
        experiment_ids: Ids of experiments to search, besides the named ones.
        filter_string: An MLflow filter over runs, such as ``"params.learning_rate = '0.001'"``; dotted tags need
            backticks: ``"tags.`gradiend.base_model` = 'bert-base-cased'"``.
        search_all_experiments: Search every experiment of the server instead.
        kinds: Which runs: "training" (one per trained model), "seed" (one per seed that was tried for one) and
            "comparison" (which have no sets of their own).
        complete: Leave out trainings and seeds without sets: those that are not finished or failed, mostly.
        order_by: MLflow's order clauses.
        max_results: Return no more rows than this; default all.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        One row per run: run_id, run_name, gradiend_run_id (the trainer's `run_id`), experiment, base_model,
        target_classes (tuple), seed (int, or NA), converged (True, False or None if unknown), correlation (of the
        logged model), parts (tuple), k (the smallest of its sets), start_time (UTC), and for `load_topk` also
        status, experiment_id, artifact_uri and sets (path, sha256 and k per part). The columns params and tags hold a
        mapping per run.

    Raises:
        StoreError: If an experiment does not exist, the filter is refused, or MLflow cannot be reached.
        InvalidInputError: If `kinds` names an unknown kind.
    """
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    order_by = [order_by] if isinstance(order_by, str) else list(order_by)
    unknown = [kind for kind in kinds if kind not in _KINDS]
    if unknown or not kinds:
        raise InvalidInputError(f"kinds must name some of {', '.join(_KINDS)}; got {kinds}")
    flush()  # what this process's trainings have said is there to be found
    store = Reader(tracking_uri)
    experiments = _experiments(store, experiment_names, experiment_ids, everywhere=search_all_experiments)
    found = [
        run
        # MLflow's filters know no OR, so each kind is a search; one search keeps MLflow's own order and limit.
        for kind in dict.fromkeys(kinds)
        for run in store.search(
            list(experiments),
            _filter(kind, filter_string, complete=complete),
            order_by=order_by,
            max_results=max_results,
        )
    ]
    return _frame(found[:max_results], experiments)


def get_runs(run_ids: Sequence[str], *, tracking_uri: str | None = None) -> pd.DataFrame:
    """The rows that `search_runs` has for runs of known ids, in the order given; of any kind, with sets or without.

    Raises:
        StoreError: If a run does not exist or MLflow cannot be reached; it names those that failed, up to 20.
        InvalidInputError: If an id comes twice.
    """
    run_ids = _checked(run_ids)
    flush()
    store = Reader(tracking_uri)
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        found = list(pool.map(lambda run_id: attempt(lambda: store.run(run_id)), run_ids))
    runs = successes(run_ids, found, "could not be found")
    experiments = store.find_experiments([], sorted({run.experiment_id for run in runs.values()}))
    return _frame(runs.values(), experiments)


def complete_frame(runs: Sequence[str] | pd.DataFrame, *, tracking_uri: str | None = None) -> pd.DataFrame:
    """The runs with all the columns of `search_runs`; those that lack some are looked up.

    Raises:
        InvalidInputError: If `runs` is neither ids nor a frame with the column run_id, or names a run twice.
        StoreError: As for `get_runs`.
    """
    ids = _checked(runs)
    return runs if _is_complete(runs) else get_runs(ids, tracking_uri=tracking_uri)


def _is_complete(runs: object) -> TypeGuard[pd.DataFrame]:
    """Whether nothing has to be looked up; in a frame that was read from a CSV file the sets are mere text."""
    return (
        isinstance(runs, pd.DataFrame)
        and set(COLUMNS) <= set(runs.columns)
        and all(isinstance(sets, Mapping) for sets in runs["sets"])
    )


# ------------------------------------------------------------------------------------------------------------ search


def _experiments(
    store: Reader, names: Sequence[str] | str | None, ids: Sequence[str] | str | None, *, everywhere: bool
) -> dict[str, str]:
    if everywhere:
        if names or ids:
            raise InvalidInputError("give experiment_names or experiment_ids, or search_all_experiments; not both")
        return store.experiments()
    if names is None and ids is None:
        ids = [store.active_experiment_id()]
    names, ids = _listed("experiment_names", names), _listed("experiment_ids", ids)
    return store.find_experiments(names, ids)


def _filter(kind: str, filter_string: str, *, complete: bool) -> str:
    clauses = [f"tags.`{tags.KIND}` = '{kind}'"]
    if complete and kind != tags.COMPARISON:
        clauses.append(f"tags.`{tags.TOPK}` LIKE '{{%'")
    if filter_string.strip():
        clauses.append(filter_string)
    return " AND ".join(clauses)


def _frame(runs: Iterable[LoggedRun], experiments: Mapping[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(
        [_row(run, experiments[run.experiment_id]) for run in runs], columns=list(COLUMNS), dtype=object
    )
    # Columns of objects, so that what is missing is None; these have a type of their own for what is missing.
    types = {"seed": "Int64", "correlation": "float64", "k": "int64", "start_time": "datetime64[ms, UTC]"}
    return frame.astype(types)


def _listed(name: str, values: Sequence[str] | str | None) -> list[str]:
    """One value or several as a list."""
    if values is None or isinstance(values, (str, int)):
        return [] if values is None else [str(values)]
    if not isinstance(values, Iterable):
        raise InvalidInputError(f"{name} must be a string or a sequence of strings; got {values!r}")
    return list(map(str, values))


def _row(run: LoggedRun, experiment: str) -> dict[str, Any]:
    sets = sets_of(run.tags)
    converged = run.tags.get(tags.CONVERGED)
    return {
        "run_id": run.run_id,
        "run_name": run.name,
        "gradiend_run_id": run.tags.get(tags.RUN_ID),
        "experiment": experiment,
        "base_model": run.tags.get(tags.BASE_MODEL),
        "target_classes": _classes_of(run.tags),
        "seed": _int_or_none(run.tags.get(tags.SEED)),
        "converged": None if converged is None else converged == "true",
        "correlation": run.metrics.get(tags.BEST_CORRELATION),
        "parts": tuple(sets),
        "k": min((entry["k"] for entry in sets.values()), default=0),
        "start_time": datetime.fromtimestamp(run.start_time / 1000, tz=timezone.utc),
        "status": run.status,
        "experiment_id": run.experiment_id,
        "artifact_uri": run.artifact_uri,
        "sets": sets,
        "params": dict(run.params),
        "tags": dict(run.tags),
    }


def _int_or_none(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _classes_of(run_tags: Mapping[str, str]) -> tuple[str, ...]:
    text = run_tags.get(tags.TARGET_CLASSES, "[]")
    try:
        classes = json.loads(text)
    except ValueError:  # somebody has edited it by hand
        return (text,)
    return tuple(map(str, classes)) if isinstance(classes, list) else (str(classes),)


def _checked(runs: Iterable[str] | pd.DataFrame) -> list[str]:
    """The ids of these runs."""
    if isinstance(runs, str) or not isinstance(runs, Iterable):
        raise InvalidInputError(
            f"runs must be a sequence of run ids or a frame; got the {type(runs).__name__} {runs!r}"
        )
    if isinstance(runs, pd.DataFrame):
        if "run_id" not in runs.columns:
            columns = ", ".join(map(str, runs.columns))
            raise InvalidInputError(f"a frame of runs needs the column run_id; it has {columns}")
        runs = runs["run_id"]
    ids = list(runs)
    repeated = [run_id for run_id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"each run may come once; these come more often: {', '.join(some_of(repeated))}")
    return ids


def attempt(action: Callable[[], T]) -> T | GradiendMLflowError:
    """What `action` returns, or the error that it raises, so that one run's fault does not hide the others'."""
    try:
        return action()
    except GradiendMLflowError as error:
        return error


def successes(run_ids: Sequence[str], results: Sequence[T | GradiendMLflowError], fault: str) -> dict[str, T]:
    """The results by run; if some are errors, one error that tells them all, of the type of the first."""
    successes: dict[str, T] = {}
    failures: dict[str, GradiendMLflowError] = {}
    for run_id, result in zip(run_ids, results, strict=True):
        if isinstance(result, GradiendMLflowError):
            failures[run_id] = result
        else:
            successes[run_id] = result
    if failures:
        lines = lines_of([f"run {run_id}: {error}" for run_id, error in failures.items()])
        kind = type(next(iter(failures.values())))
        raise kind(f"{len(failures)} of {len(results)} runs {fault}:{lines}")
    return successes
