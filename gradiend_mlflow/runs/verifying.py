"""`verify_runs`: whether the sets that runs list are there, are those that were logged, and can be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pandas as pd

from gradiend_mlflow.display.progress import with_progress
from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError, InvalidInputError, UnavailableError
from gradiend_mlflow.runs.cache import OFF
from gradiend_mlflow.runs.pulling import pull_sets
from gradiend_mlflow.runs.search import complete_frame, search_runs
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags

OK, MISSING, DAMAGED, UNREACHABLE = "ok", "missing", "damaged", "unreachable"
_COLUMNS = ("run_id", "run_name", "experiment", "part", "step", "k", "result", "reason")
_AT_ONCE = 32  # sets in memory


class _Listed(NamedTuple):
    """A set that a run lists: of which part, of which step (None: of the selected model), of how many weights."""

    part: str
    step: int | None
    k: int


def verify_runs(
    runs: Sequence[str] | pd.DataFrame | None = None,
    *,
    experiment_names: Sequence[str] | str | None = None,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str = "",
    search_all_experiments: bool = False,
    progress: bool | None = None,
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Download every set of the runs anew, and check that it is the one that was logged, and readable.

    The cache is not used, because the question is what the server has.

    Args:
        runs: MLflow run ids, or rows of `search_runs`; default the trainings and seeds that the next four arguments
            find.
        experiment_names: As for `search_runs`, like the next three.
        experiment_ids: As for `search_runs`.
        filter_string: As for `search_runs`.
        search_all_experiments: As for `search_runs`.
        progress: Whether to show a progress bar; default where people see it.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        One row per set: run_id, run_name, experiment, part, step (of the training; NA for the sets of the selected
        model), k (weights that the run says the set has), result, and reason (None if ok). The result is "ok";
        "missing" if the file cannot be downloaded, or a finished training lists no set at all (then part is None and
        k is 0); "damaged" if the file is not the one that was logged, does not hold a set of k weights, or the run's
        list of sets cannot be read; "unreachable" if MLflow does not answer.

    Raises:
        InvalidInputError: If both runs and a search are given.
        StoreError: If an experiment or a run does not exist, or MLflow cannot be reached.

    Example:
        ::

            checked = verify_runs(experiment_names="pronouns")
            checked[checked["result"] != "ok"]
    """
    searched = (experiment_names, experiment_ids, filter_string or None, search_all_experiments or None)
    if runs is not None and any(one is not None for one in searched):
        raise InvalidInputError("give runs, or what to search for; not both")
    if runs is None:
        found = search_runs(
            experiment_names,
            experiment_ids=experiment_ids,
            filter_string=filter_string,
            search_all_experiments=search_all_experiments,
            kinds=(tags.TRAINING, tags.SEED_RUN),
            complete=False,
            tracking_uri=tracking_uri,
        )
    else:
        found = complete_frame(runs, tracking_uri=tracking_uri)
    records = found.to_dict("records")
    rows = [row for run in records for row in _faults_of_lists(run)]
    wanted: dict[tuple[str, int | None], list[tuple[int, _Listed]]] = defaultdict(list)
    for place, run in enumerate(records):
        for one in _listed(run):
            wanted[one.part, one.step].append((place, one))
    batches = [
        (part, step, having[first : first + _AT_ONCE])
        for (part, step), having in wanted.items()
        for first in range(0, len(having), _AT_ONCE)
    ]
    for part, step, some in with_progress(batches, "verify", "batch", show=progress):
        frame = found.iloc[[place for place, _ in some]]
        pulled = pull_sets(
            frame, part=part, topk=None, step=step, cache=OFF, progress=False, tracking_uri=tracking_uri
        )
        rows += [_checked(records[place], one, got) for (place, one), got in zip(some, pulled, strict=True)]
    order = {run_id: place for place, run_id in enumerate(found["run_id"])}
    rows.sort(key=lambda row: order[row["run_id"]])
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"step": "Int64", "k": "int64"})


def _listed(run: dict[Any, Any]) -> list[_Listed]:
    """The sets that a run lists, as far as its lists can be read."""
    sets = [_Listed(part, None, entry["k"]) for part, entry in run["sets"].items()]
    with suppress(ValueError):
        sets += [_Listed(entry["part"], step, entry["k"]) for step, entry in tags.sets_of_steps(run["tags"]).items()]
    return sets


def _faults_of_lists(run: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    """What is wrong before any set is looked at."""
    nothing, damage = _Listed("", None, 0), tags.damage_of_sets(run["tags"])
    if damage is not None:
        yield _row(run, nothing, DAMAGED, f"its tag {tags.TOPK} cannot be read: {damage}")
    elif not run["sets"] and run["tags"].get(tags.KIND) == tags.TRAINING and run["status"] == "FINISHED":
        reasons = "; ".join(f"{part}: {reason}" for part, reason in tags.left_out_of(run["tags"]).items())
        yield _row(run, nothing, MISSING, reasons or "it lists no set, although it is a training that is finished")
    try:
        tags.sets_of_steps(run["tags"])
    except ValueError as error:
        yield _row(run, nothing, DAMAGED, f"its tag {tags.TOPK_STEPS} cannot be read: {error}")


def _checked(run: dict[Any, Any], listed: _Listed, pulled: TopKSet | GradiendMLflowError) -> dict[str, Any]:
    if isinstance(pulled, UnavailableError):
        return _row(run, listed, UNREACHABLE, str(pulled))
    if isinstance(pulled, GradiendMLflowError):
        return _row(run, listed, DAMAGED if isinstance(pulled, ArtifactError) else MISSING, str(pulled))
    if (pulled.part, len(pulled)) != (listed.part, listed.k):
        holds = f"its file holds {len(pulled):,} weights of {pulled.part}"
        return _row(run, listed, DAMAGED, f"{holds}; the run lists {listed.k:,} of {listed.part}")
    return _row(run, listed, OK, None)


def _row(run: dict[Any, Any], listed: _Listed, result: str, reason: str | None) -> dict[str, Any]:
    named = {name: run[name] for name in _COLUMNS[:3]}
    return named | listed._asdict() | {"part": listed.part or None, "result": result, "reason": reason}
