"""Which runs a comparison is about: those asked for, less those that cannot be compared, each with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import pandas as pd

from gradiend_mlflow.comparison.labels import TRAINING_RUN, name_of
from gradiend_mlflow.errors import InvalidInputError, UnavailableError
from gradiend_mlflow.overlap.seeds import Seeds
from gradiend_mlflow.runs.pulling import pull_sets
from gradiend_mlflow.runs.search import attempt, complete_frame, search_runs
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags

FINISHED = "FINISHED"


@dataclass(frozen=True)
class Skipped:
    """A run that was asked for and is not compared."""

    run_id: str
    name: str
    reason: str


@dataclass(frozen=True)
class Search:
    """What to search for, as `search_runs` takes it."""

    experiment_names: Sequence[str] | str | None
    experiment_ids: Sequence[str] | str | None
    filter_string: str
    search_all_experiments: bool

    def __bool__(self) -> bool:
        """Whether anything was asked."""
        return self != Search(None, None, "", search_all_experiments=False)

    def __str__(self) -> str:
        """What was asked, for messages."""
        where = self.experiment_names or self.experiment_ids or "the active one"
        experiments = "all" if self.search_all_experiments else where
        return f"experiments: {experiments}; filter: {self.filter_string or 'none'}"


@dataclass(frozen=True, eq=False)
class Pulled:
    """Runs and their sets.

    Attributes:
        rows: One row per set, with the columns of `search_runs` and the run of its training.
        stored: The set of each row, with all the weights that were logged.
        cut: The same, cut to what is compared.
        skipped: The runs that were asked for and have none.
    """

    rows: pd.DataFrame
    stored: list[TopKSet]
    cut: list[TopKSet]
    skipped: tuple[Skipped, ...]


def find_runs(runs: Sequence[str] | pd.DataFrame | None, search: Search, *, tracking_uri: str | None) -> pd.DataFrame:
    """The runs that are asked for, whether they can be compared or not.

    Raises:
        InvalidInputError: If runs are given and something to search for too.
        StoreError: As for `search_runs`.
    """
    if runs is None:
        # Those without sets are asked for too, in the same requests: a comparison must not become smaller in silence.
        return search_runs(
            search.experiment_names,
            experiment_ids=search.experiment_ids,
            filter_string=search.filter_string,
            search_all_experiments=search.search_all_experiments,
            complete=False,
            tracking_uri=tracking_uri,
        )
    if search:
        raise InvalidInputError("give runs, or what to search for; not both")
    return complete_frame(runs, tracking_uri=tracking_uri)


def usable(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Skipped, ...]]:
    """The runs that are finished, and the others with the reason."""
    finished = rows["status"] == FINISHED
    reasons = {
        "RUNNING": "it is RUNNING, so its sets may not be the last; if nothing runs any more, end it: "
        'MlflowClient().set_terminated(run_id, "FINISHED")',
    }
    skipped = tuple(
        _skipped(row, reasons.get(row["status"], f"it is {row['status']}, not FINISHED"))
        for _, row in rows[~finished].iterrows()
    )
    return rows[finished], skipped


def with_seeds(
    trainings: pd.DataFrame, seeds: Seeds, *, tracking_uri: str | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One row per chosen seed of each training, in the order in which they were tried; and notes.

    As in gradiend, the training's own run stands where no more than one seed is to be chosen. One search finds the
    seeds of all trainings.

    Raises:
        InvalidInputError: If a run is asked for on its own and as a seed.
    """
    trainings = trainings.assign(**{TRAINING_RUN: trainings["run_id"]})
    if seeds == "best" or trainings.empty:
        return trainings, ()
    experiments = sorted(set(trainings["experiment_id"]))
    found = search_runs(experiment_ids=experiments, kinds=tags.SEED_RUN, complete=False, tracking_uri=tracking_uri)
    found = found.assign(**{TRAINING_RUN: [run_tags.get(tags.MLFLOW_PARENT) for run_tags in found["tags"]]})
    if seeds == "all_convergent":
        found = found[found["converged"].eq(True)]  # None is unknown
    chosen, alone = [], []
    for run_id in trainings["run_id"]:
        tried = found[found[TRAINING_RUN] == run_id]
        training = trainings[trainings["run_id"] == run_id]
        chosen.append(tried if len(tried) > 1 else training)
        alone += [] if len(tried) > 1 else [name_of(training.iloc[0])]
    rows = pd.concat(chosen)
    twice = rows.loc[rows["run_id"].duplicated(), "run_id"].tolist()
    if twice:
        raise InvalidInputError(f"these runs are asked for, and are seeds of others that are: {', '.join(twice)}")
    which = "seeds that converged" if seeds == "all_convergent" else "seeds"
    if not alone:
        return rows, ()
    note = f"Fewer than two {which} are logged, so the selected model stands alone: {', '.join(alone)}."
    return rows, (note,)


def pull(
    rows: pd.DataFrame, *, part: str, topk: float, cache: str | PathLike[str] | None, tracking_uri: str | None
) -> Pulled:
    """Pull the sets of runs; those that have none that can be used are skipped with the reason.

    Raises:
        UnavailableError: If none could be pulled, and at least one for want of a server.
    """
    found = pull_sets(rows, part=part, topk=None, cache=cache, tracking_uri=tracking_uri)
    outage = next((one for one in found if isinstance(one, UnavailableError)), None)
    if outage is not None and not any(isinstance(one, TopKSet) for one in found):
        raise outage
    stored, cut, keep, skipped = [], [], [], []
    for index, (whole, (_, row)) in enumerate(zip(found, rows.iterrows(), strict=True)):
        top = attempt(partial(whole.top, topk)) if isinstance(whole, TopKSet) else whole
        if isinstance(whole, TopKSet) and isinstance(top, TopKSet):
            stored.append(whole)
            cut.append(top)
            keep.append(index)
        else:
            skipped.append(_skipped(row, str(top)))
    return Pulled(rows.iloc[keep].reset_index(drop=True), stored, cut, tuple(skipped))


def _skipped(row: pd.Series[Any], reason: str) -> Skipped:
    return Skipped(str(row["run_id"]), str(row["run_name"] or name_of(row)), reason)
