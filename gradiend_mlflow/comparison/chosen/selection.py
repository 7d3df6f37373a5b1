"""Which runs are compared: those that were asked for, without those that cannot be, each with its reason."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import pandas as pd

from gradiend_mlflow.errors import DeniedError, InvalidInputError, UnavailableError
from gradiend_mlflow.overlap.seeds import Seeds
from gradiend_mlflow.runs.labels import TRAINING_RUN, name_of
from gradiend_mlflow.runs.pulling import pull_sets
from gradiend_mlflow.runs.search import complete_frame, experiments_of, result_or_error, search_runs
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import Reader
from gradiend_mlflow.wording import counted, some_of, visible

FINISHED = "FINISHED"
_MOST_COUNTED = 10_000
_REASONS = {
    "RUNNING": "it is RUNNING, so its sets may still change; if its training was killed, `gradiend-mlflow sync` of "
    "its experiment directory sends what it left and ends the run",
}


@dataclass(frozen=True)
class Skipped:
    """A run that was asked for and is not compared.

    Attributes:
        run_id: MLflow's id of the run.
        name: What the run is called.
        reason: Why it cannot be compared, in a sentence.
    """

    run_id: str
    name: str
    reason: str

    @classmethod
    def of(cls, row: pd.Series[Any], reason: str) -> Skipped:
        """The run of a row of `search_runs`."""
        return cls(str(row["run_id"]), visible(str(row["run_name"] or name_of(row))), visible(reason, lines=True))


@dataclass(frozen=True)
class Search:
    """What to search for; the arguments of `search_runs`."""

    experiment_names: Sequence[str] | str | None = None
    experiment_ids: Sequence[str] | str | None = None
    filter_string: str = ""
    search_all_experiments: bool = False

    def told(self, tracking_uri: str | None, found: int) -> str:
        """For the error that too few runs were found: where, and what to type instead."""
        store = Reader(tracking_uri)
        names, ids = self.experiment_names, self.experiment_ids
        searched = experiments_of(store, names, ids, everywhere=self.search_all_experiments).values()
        experiments = "every experiment" if self.search_all_experiments else ", ".join(map(repr, some_of([*searched])))
        active = " (the active one)" if names is None and ids is None and not self.search_all_experiments else ""
        told = f"Searched: {experiments}{active} of MLflow at {store.shown_uri}"
        if self.filter_string:
            told += f", with the filter {self.filter_string!r}"
        if found > 1:
            return told
        known = search_runs(search_all_experiments=True, max_results=_MOST_COUNTED, tracking_uri=tracking_uri)
        counts = known["experiment"].value_counts()
        if counts.empty:
            return (
                f"{told}. No experiment there has trainings: log some with autolog(), import what is on disk with "
                "`gradiend-mlflow import PATH`, or name the server that has them (--tracking-uri, in Python "
                "tracking_uri=...)"
            )
        inside = sum(int(counts.get(name, 0)) for name in searched)
        if self.filter_string and inside:
            return f"{told}; without the filter, {counted(inside, 'training')} would be found"
        listed = some_of([f"{name!r} ({count:,})" for name, count in counts.items()])
        first = counts.index[0]
        return (
            f"{told}. Trainings are in {', '.join(listed)}: name experiments with --experiment-name "
            f"{shlex.quote(visible(first))}, in Python experiment_names=[{first!r}]"
        )


@dataclass(frozen=True, eq=False)
class Selection:
    """Runs on their way into a comparison: found, with their seeds, with their sets.

    Attributes:
        asked: How many runs were asked for.
        trainings: Those of them that are finished; rows of `search_runs`.
        rows: The runs to compare, which are the trainings or their seeds; rows of `search_runs`, with the id of each
            run's training as training_run_id.
        stored: The set of each row, with all the weights that were logged; empty before they are pulled.
        cut: The same sets, cut to what is compared.
        skipped: The runs that cannot be compared.
        notes: What a reader of the comparison should know about the selection.
    """

    asked: int
    trainings: pd.DataFrame
    rows: pd.DataFrame
    stored: tuple[TopKSet, ...] = ()
    cut: tuple[TopKSet, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def find_runs(
    runs: Sequence[str] | pd.DataFrame | None, search: Search, *, progress: bool | None, tracking_uri: str | None
) -> Selection:
    """The given runs, or else those that the search finds; those that are not finished are skipped.

    Raises:
        InvalidInputError: If both runs and a search are given.
        StoreError: As for `search_runs`.
    """
    if runs is not None and search != Search():
        raise InvalidInputError("give runs, or what to search for; not both")
    if runs is None:
        # Runs without sets are found too, and skipped later: a comparison must not become smaller in silence.
        found = search_runs(**vars(search), complete=False, progress=progress, tracking_uri=tracking_uri)
    else:
        found = complete_frame(runs, progress=progress, tracking_uri=tracking_uri)
    found = found.reset_index(drop=True).assign(**{TRAINING_RUN: found["run_id"].tolist()})
    finished, skipped = _finished(found)
    return Selection(len(found), trainings=finished, rows=finished, skipped=skipped)


def choose_seeds(selection: Selection, seeds: Seeds, *, progress: bool | None, tracking_uri: str | None) -> Selection:
    """The selection with the chosen seeds of each training as its rows, in the order in which they were tried.

    As in gradiend, a training with fewer than two such seeds is represented by its own run. One search finds the
    seeds of all trainings.

    Raises:
        InvalidInputError: If a run was asked for both on its own and as a seed.
        StoreError: As for `search_runs`.
    """
    trainings = selection.trainings
    if seeds == "best" or trainings.empty:
        return selection
    experiments = sorted(set(trainings["experiment_id"]))
    tried = search_runs(
        experiment_ids=experiments,
        kinds=tags.SEED_RUN,
        complete=False,
        progress=progress,
        tracking_uri=tracking_uri,
    )
    tried = tried.assign(**{TRAINING_RUN: [run_tags.get(tags.MLFLOW_PARENT) for run_tags in tried["tags"]]})
    tried = tried[tried[TRAINING_RUN].isin(trainings["run_id"])]
    if seeds == "all_convergent":
        tried = tried[tried["converged"].eq(True)]  # None is unknown
    tried = tried[tried.groupby(TRAINING_RUN)[TRAINING_RUN].transform("size") > 1]
    alone = trainings[~trainings["run_id"].isin(tried[TRAINING_RUN])]
    place = {run_id: place for place, run_id in enumerate(trainings["run_id"])}
    rows = pd.concat([tried, alone]).sort_values(
        TRAINING_RUN, key=lambda ids: ids.map(place), kind="stable", ignore_index=True
    )
    twice = rows.loc[rows["run_id"].duplicated(), "run_id"].tolist()
    if twice:
        raise InvalidInputError(f"these runs are asked for, and are also seeds of others that are: {', '.join(twice)}")
    notes = selection.notes
    if not alone.empty:
        which = "seeds that converged" if seeds == "all_convergent" else "seeds"
        names = ", ".join(visible(name_of(row)) for _, row in alone.iterrows())
        notes = (*notes, f"Fewer than two {which} are logged, so the selected model stands alone: {names}.")
    finished, skipped = _finished(rows)
    return replace(selection, rows=finished, skipped=(*selection.skipped, *skipped), notes=notes)


def pull(
    selection: Selection,
    *,
    part: str,
    topk: float,
    cache: str | PathLike[str] | None,
    progress: bool | None,
    tracking_uri: str | None,
) -> Selection:
    """The selection with its sets; rows without a usable set are skipped.

    Raises:
        UnavailableError, DeniedError: If no set could be pulled, and at least one because a server did not answer, or
            did not let this account have it.
    """
    rows = selection.rows
    pulled = pull_sets(rows, part=part, topk=None, cache=cache, progress=progress, tracking_uri=tracking_uri)
    outage = next((error for error in pulled if isinstance(error, (UnavailableError, DeniedError))), None)
    if outage is not None and not any(isinstance(one, TopKSet) for one in pulled):
        raise outage
    stored, cut, skipped = {}, {}, list(selection.skipped)
    for whole, (index, row) in zip(pulled, rows.iterrows(), strict=True):
        top = result_or_error(whole.top, topk) if isinstance(whole, TopKSet) else whole
        if isinstance(whole, TopKSet) and isinstance(top, TopKSet):
            stored[index], cut[index] = whole, top
        else:
            skipped.append(Skipped.of(row, str(top)))
    return replace(
        selection,
        rows=rows.loc[list(cut)].reset_index(drop=True),
        stored=tuple(stored.values()),
        cut=tuple(cut.values()),
        skipped=tuple(skipped),
    )


def _finished(rows: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Skipped, ...]]:
    """The rows that are finished; the others, each with the reason."""
    finished = rows["status"] == FINISHED
    skipped = [
        Skipped.of(row, _REASONS.get(row["status"], f"it is {row['status']}, not {FINISHED}"))
        for _, row in rows[~finished].iterrows()
    ]
    return rows[finished], tuple(skipped)
