"""Finding logged runs: a frame with what the runs say about themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, TypeVar

import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.display.progress import check_progress, with_progress
from gradiend_mlflow.errors import GradiendMLflowError, InvalidInputError
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.reader import LoggedRun, Reader
from gradiend_mlflow.untrusted import quoted
from gradiend_mlflow.wording import by_reason, lines_of, some_of

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
# The other columns hold objects, so that a missing value is None.
COLUMN_TYPES = {"seed": "Int64", "correlation": "float64", "k": "int64", "start_time": "datetime64[ms, UTC]"}
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
    progress: bool | None = None,
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Find the training runs that have top-k sets, oldest first; of several `kinds`, kind by kind.

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
        progress: Whether to show a progress bar; default one in a terminal or a notebook, if it takes over a second.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        One row per run: run_id, run_name, gradiend_run_id (the trainer's `run_id`), experiment, base_model,
        target_classes (tuple), seed (int, or NA), converged (True, False or None if unknown), correlation (of the
        logged model), parts (tuple), k (the smallest of its sets), start_time (UTC), and for `load_topk` also
        status, experiment_id, artifact_uri and sets (path, sha256 and k per part). The columns params and tags hold a
        mapping per run. What a tag says that cannot be so - a seed beyond 64 bits, damaged sets, a year beyond 9999 -
        counts as missing; `load_topk` and `compare` say what is wrong with a run's sets.

    Raises:
        StoreError: If an experiment does not exist, the filter is refused, or MLflow cannot be reached.
        InvalidInputError: If `kinds` names an unknown kind.
    """
    kinds, order_by = listed("kinds", kinds), listed("order_by", order_by)
    if not kinds or not set(kinds) <= set(_KINDS):
        raise InvalidInputError(f"kinds must name some of {', '.join(_KINDS)}; got {kinds}")
    if max_results is not None:
        check_int("max_results", max_results, least=1)
    check_progress(progress)
    flush()  # so that the trainings of this process are found
    store = Reader(tracking_uri)
    experiments = experiments_of(store, experiment_names, experiment_ids, everywhere=search_all_experiments)
    found = [
        run
        # MLflow's filters know no OR, so each kind is a search; one search keeps MLflow's own order and limit.
        for kind in dict.fromkeys(kinds)
        for run in store.search(
            list(experiments),
            _filter(kind, filter_string, complete=complete),
            order_by=order_by,
            max_results=max_results,
            progress=progress,
        )
    ]
    return _frame(found[:max_results], experiments)


def search_pages(
    experiment_names: Sequence[str] | str | None = None,
    *,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str = "",
    search_all_experiments: bool = False,
    tracking_uri: str | None = None,
) -> Iterator[pd.DataFrame]:
    """The trainings that `search_runs(complete=False)` finds, page by page: all tags of 100,000 are gigabytes."""
    flush()
    store = Reader(tracking_uri)
    experiments = experiments_of(store, experiment_names, experiment_ids, everywhere=search_all_experiments)
    wanted = _filter(tags.TRAINING, filter_string, complete=False)
    found = store.search_pages(list(experiments), wanted, order_by=["attributes.start_time ASC"])
    return (_frame(page, experiments) for page in found)


def complete_frame(
    runs: Iterable[str] | pd.DataFrame, *, progress: bool | None = None, tracking_uri: str | None = None
) -> pd.DataFrame:
    """The runs with all the columns of `search_runs`; a frame that lacks some is looked up by its run ids.

    Raises:
        InvalidInputError: If `runs` is neither ids nor a frame with the column run_id, or names a run twice.
        StoreError: If a run does not exist or MLflow cannot be reached; it names the runs that failed, up to 20.
    """
    run_ids = ids_of(runs)
    if (
        isinstance(runs, pd.DataFrame)
        and set(COLUMNS) <= set(runs.columns)
        and all(map(_is_complete, runs["sets"], runs["tags"], runs["artifact_uri"]))
    ):
        return runs
    flush()
    store = Reader(tracking_uri)
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        asked = pool.map(lambda run_id: result_or_error(store.run, run_id), run_ids)
        answers = list(with_progress(asked, "look up", "run", show=progress, total=len(run_ids)))
    found = all_results(run_ids, answers, "could not be found").values()
    experiments = store.find_experiments([], sorted({run.experiment_id for run in found}))
    return _frame(found, experiments)


def _is_complete(sets: Any, run_tags: Any, artifact_uri: Any) -> bool:
    """Whether this is what `search_runs` returns; a frame that was read from a CSV file has strings."""
    try:
        tags.checked_sets(sets)
    except ValueError:
        return False
    return isinstance(run_tags, Mapping) and isinstance(artifact_uri, str)


def result_or_error(function: Callable[..., T], *args: Any, **options: Any) -> T | GradiendMLflowError:
    """What the call returns, or the error that it raises, so that one run's fault does not hide another's."""
    try:
        return function(*args, **options)
    except GradiendMLflowError as error:
        return error


def all_results(run_ids: Sequence[str], results: Sequence[T | GradiendMLflowError], fault: str) -> dict[str, T]:
    """The results by run id.

    Raises:
        GradiendMLflowError: If some results are errors; it lists them all and has the type of the first.
    """
    errors = [(run_id, one) for run_id, one in zip(run_ids, results, strict=True) if isinstance(one, Exception)]
    if errors:
        told = ((f"run {run_id}", str(error)) for run_id, error in errors)
        lines = lines_of([f"{names}: {reason}" for names, reason in by_reason(told)])
        raise type(errors[0][1])(f"{len(errors)} of {len(results)} runs {fault}:{lines}")
    return {run_id: one for run_id, one in zip(run_ids, results, strict=True) if not isinstance(one, Exception)}


def experiments_of(
    store: Reader, names: Sequence[str] | str | None, ids: Sequence[str] | str | None, *, everywhere: bool
) -> dict[str, str]:
    """The names, by id, of the experiments to search."""
    if everywhere and (names or ids):
        raise InvalidInputError("give experiment_names or experiment_ids, or search_all_experiments; not both")
    if everywhere:
        return store.experiments()
    if names is None and ids is None:
        ids = [store.active_experiment_id()]
    return store.find_experiments(listed("experiment_names", names), listed("experiment_ids", ids))


def _filter(kind: str, filter_string: str, *, complete: bool) -> str:
    with_sets = complete and kind != tags.COMPARISON
    clauses = [f"tags.`{tags.KIND}` = '{kind}'", f"tags.`{tags.TOPK}` LIKE '{{%'" if with_sets else "", filter_string]
    return " AND ".join(clause for clause in clauses if clause.strip())


def listed(name: str, values: Sequence[str] | str | None) -> list[str]:
    """None, one value or several, as a list of strings."""
    if values is None or isinstance(values, (str, int)):
        return [] if values is None else [str(values)]
    if not isinstance(values, Iterable):
        raise InvalidInputError(f"{name} must be a string or a sequence of strings; got {quoted(values)}")
    return list(map(str, values))


def _frame(runs: Iterable[LoggedRun], experiments: Mapping[str, str]) -> pd.DataFrame:
    rows = [_row(run, experiments.get(run.experiment_id, run.experiment_id)) for run in runs]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).astype(COLUMN_TYPES)


def _row(run: LoggedRun, experiment: str) -> dict[str, Any]:
    sets = tags.sets_of(run.tags)
    converged = run.tags.get(tags.CONVERGED)
    return {
        "run_id": run.run_id,
        "run_name": run.name,
        "gradiend_run_id": run.tags.get(tags.RUN_ID),
        "experiment": experiment,
        "base_model": run.tags.get(tags.BASE_MODEL),
        "target_classes": tags.target_classes_of(run.tags),
        "seed": tags.seed_of(run.tags),
        "converged": None if converged is None else converged == "true",
        "correlation": run.metrics.get(tags.BEST_CORRELATION),
        "parts": tuple(sets),
        "k": min((entry["k"] for entry in sets.values()), default=0),
        "start_time": time_of(run.start_time),
        "status": run.status,
        "experiment_id": run.experiment_id,
        "artifact_uri": run.artifact_uri,
        "sets": sets,
        "params": dict(run.params),
        "tags": dict(run.tags),
    }


def time_of(milliseconds: int | None) -> datetime | None:
    """None for a time that is missing, or beyond the year 9999."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None


def ids_of(runs: Iterable[str] | pd.DataFrame) -> list[str]:
    """The run ids in a sequence or a frame.

    Raises:
        InvalidInputError: If it has none, or one twice.
    """
    if isinstance(runs, str) or not isinstance(runs, Iterable):
        raise InvalidInputError(
            f"runs must be a sequence of run ids or a frame; got the {type(runs).__name__} {quoted(runs)}"
        )
    if isinstance(runs, pd.DataFrame) and "run_id" not in runs:
        raise InvalidInputError(f"a frame of runs needs the column run_id; it has {', '.join(map(str, runs))}")
    run_ids = list(runs["run_id"] if isinstance(runs, pd.DataFrame) else runs)
    others = [run_id for run_id in run_ids if not isinstance(run_id, str)]
    if others:
        raise InvalidInputError(f"run ids must be strings; got {quoted(others[0])}")
    repeated = [run_id for run_id, count in Counter(run_ids).items() if count > 1]
    if repeated:
        raise InvalidInputError(f"each run may be given only once; repeated: {', '.join(some_of(repeated))}")
    return run_ids
