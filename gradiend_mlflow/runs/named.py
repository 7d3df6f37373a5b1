"""One run, by MLflow's id of it, by its name, or by a row of a table that lists it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradiend_mlflow.errors import InvalidInputError, StoreError, UnavailableError
from gradiend_mlflow.runs.search import time_of
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.reader import LoggedRun, Reader
from gradiend_mlflow.untrusted import quoted
from gradiend_mlflow.wording import lines_of

ALL_KINDS = (tags.TRAINING, tags.SEED_RUN, tags.SUITE, tags.COMPARISON)


def find_run(store: Reader, run: Any, *, kinds: Sequence[str] = ALL_KINDS) -> LoggedRun:
    """The run of this id, else the one run of these kinds in any experiment that has this name.

    Args:
        store: Where to look.
        run: An id, a name, or a row with a `run_id`: a mapping, a series, a named tuple, or a frame of one row.
        kinds: What is looked for by name; a run that an id names may be of any kind.

    Raises:
        InvalidInputError: If several runs have that name, or `run` is none of these.
        StoreError: If there is no such run, or MLflow cannot be reached.
    """
    flush()
    named = _id_in(run)
    try:
        return store.run(named)
    except UnavailableError:
        raise
    except StoreError as error:
        found = _called(store, named, kinds)
        if not found:
            raise StoreError(f"{error}. No {' or '.join(kinds)} has that name either") from None
    if len(found) > 1:
        experiments = store.experiments()
        lines = [
            f"{one.run_id}  {one.tags.get(tags.KIND)}, {shown_time(one.start_time)}, in "
            f"{experiments.get(one.experiment_id, one.experiment_id)!r}"
            for one in found
        ]
        raise InvalidInputError(f"{len(found)} runs are called {named!r}; name one by its id:{lines_of(lines)}")
    return found[0]


def shown_time(milliseconds: int | None) -> str:
    """A time for people."""
    time = time_of(milliseconds)
    return "time unknown" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"


def _id_in(run: Any) -> str:
    if isinstance(run, pd.DataFrame):
        if len(run) != 1:
            raise InvalidInputError(f"one run is wanted; got a frame of {len(run)} rows: take one, as frame.iloc[0]")
        run = run.iloc[0]
    found = run.get("run_id") if isinstance(run, (Mapping, pd.Series)) else getattr(run, "run_id", run)
    if not isinstance(found, str) or not found.strip():
        raise InvalidInputError(f"a run must be its id, its name, or a row with a run_id; got {quoted(run)}")
    return found


def _called(store: Reader, name: str, kinds: Sequence[str]) -> list[LoggedRun]:
    """The runs that are called so, the newest first."""
    # A quote would end the filter's string; `_` stands for any character, so it finds too much, not too little.
    pattern = re.sub(r"['\\]", "_", name)
    found = store.search(
        list(store.experiments()),
        f"attributes.run_name LIKE '{pattern}'",
        order_by=["attributes.start_time DESC"],
    )
    return [run for run in found if run.name == name and run.tags.get(tags.KIND) in kinds]
