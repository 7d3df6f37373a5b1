"""`export_dataset`: the sets of any search as one dataset in Parquet, a page of runs at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import pandas as pd

from gradiend_mlflow.checks import check_flags
from gradiend_mlflow.comparison.chosen.selection import Search, Skipped, find_runs
from gradiend_mlflow.display.progress import check_progress, with_progress
from gradiend_mlflow.display.results import Shown, html_facts, html_list
from gradiend_mlflow.errors import InvalidInputError, SkippedRunsError, UnavailableError, logger
from gradiend_mlflow.runs.cache import OFF
from gradiend_mlflow.runs.pulling import pull_sets
from gradiend_mlflow.runs.search import ids_of, search_pages
from gradiend_mlflow.scale.dataset import OF_A_RUN, Dataset
from gradiend_mlflow.scale.places import Place
from gradiend_mlflow.sets.parts import DEFAULT_PART, PARTS, check_parts
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.wording import by_reason, counted, lines_of, some_of, visible

_RUNS_AT_ONCE = 1000  # whose tags are in memory
_SETS_AT_ONCE = 64  # that are pulled together
_ROWS_OF_A_FILE = 2**20  # about 10 MB


@dataclass(frozen=True, repr=False)
class ExportedDataset(Shown):
    """What an export has done.

    Attributes:
        uri: Where the dataset is: a directory, or `s3://bucket/prefix`.
        runs: How many runs it has now.
        sets: How many sets.
        added: How many of these are new.
        replaced: How many sets were removed because their runs have newer ones.
        skipped: The runs that have no set in it, or not one of each part that was asked for, each with the reason.
    """

    uri: str
    runs: int
    sets: int
    added: int
    replaced: int
    skipped: tuple[Skipped, ...]

    def _line(self) -> str:
        return f"{counted(self.sets, 'set')} of {counted(self.runs, 'run')}, {self.added:,} new: {self.uri}"

    def _html(self) -> Iterator[str]:
        facts = {name: getattr(self, name) for name in ("uri", "runs", "sets", "added", "replaced")}
        yield html_facts({name: str(fact) for name, fact in facts.items()})
        yield html_list([f"skipped {run.name} ({run.run_id}): {run.reason}" for run in self.skipped])


def export_dataset(
    destination: str | PathLike[str],
    runs: Sequence[str] | pd.DataFrame | None = None,
    *,
    experiment_names: Sequence[str] | str | None = None,
    experiment_ids: Sequence[str] | str | None = None,
    filter_string: str = "",
    search_all_experiments: bool = False,
    parts: Sequence[str] | None = None,
    strict: bool = False,
    cache: str | PathLike[str] | None = OFF,
    progress: bool | None = None,
    tracking_uri: str | None = None,
) -> ExportedDataset:
    """Write the sets of any number of runs as one partitioned Parquet dataset, or add what is new to one.

    DuckDB, Polars, Spark, Dask and pandas read it; docs/scale.md describes its columns. Only sets whose SHA-256 it
    does not have are pulled, and a set that its run has logged anew replaces the old one. Sets that a search no longer
    finds stay, and seeds are exported if their rows are given. A thousand runs and a few files are in memory at once.

    Args:
        destination: A directory, made if needed, or `s3://bucket/prefix`; one export at a time, which is
            seen to in a directory.
        runs: MLflow run ids, or rows of `search_runs`; default the trainings that the next four arguments find.
        experiment_names: As for `search_runs`, like the next three.
        experiment_ids: As for `search_runs`.
        filter_string: As for `search_runs`.
        search_all_experiments: As for `search_runs`.
        parts: Which of gradiend's four importances; default those that each run has.
        strict: Raise if runs are skipped, after all others are written.
        cache: Where pulled sets are kept, as for `load_topk`; default "off", since an export pulls each set once.
        progress: As for `search_runs`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        What was done. Runs that are not finished, or have no such set or one that cannot be read, are in `skipped`.

    Raises:
        InvalidInputError: If there is no run at all, or an argument is not acceptable.
        SkippedRunsError: If `strict` and runs were skipped.
        StoreError: If MLflow or the destination cannot be reached; what is written by then is kept, and the next call
            goes on from there.
        ArtifactError: If what is at the destination is not a dataset.

    Example:
        ::

            export_dataset("s3://lab/sets", search_all_experiments=True, parts=["decoder-weight"])
    """
    check_flags(strict=strict)
    check_progress(progress)
    asked = None if parts is None else check_parts(parts)
    search = Search(experiment_names, experiment_ids, filter_string, search_all_experiments)
    if runs is not None and search != Search():
        raise InvalidInputError("give runs, or what to search for; not both")
    pages = search_pages(**vars(search), tracking_uri=tracking_uri) if runs is None else _slices(runs)
    place = Place.at("destination", destination)
    with place.alone():
        export = _Export(Dataset(place), asked, cache, tracking_uri)
        for page in with_progress(pages, "export", "page", show=progress):
            export.take(page)
        export.finish()
    if not export.seen:
        told = "" if runs is not None else f". {search.told(tracking_uri, 0)}"
        raise InvalidInputError(f"export_dataset found no run{told}")
    return _told(export.result(), export.seen, strict=strict)


def _slices(runs: Sequence[str] | pd.DataFrame) -> Iterator[list[str] | pd.DataFrame]:
    """The runs, a thousand at a time."""
    run_ids = ids_of(runs)
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        some = slice(first, first + _RUNS_AT_ONCE)
        yield runs.iloc[some] if isinstance(runs, pd.DataFrame) else run_ids[some]


def _told(done: ExportedDataset, seen: int, *, strict: bool) -> ExportedDataset:
    """Warn of runs that were skipped.

    Raises:
        SkippedRunsError: If `strict` and there are any.
    """
    names = {run.run_id: run.name for run in done.skipped}
    if strict and names:
        told = ((f"{run.name} ({run.run_id})", run.reason) for run in done.skipped)
        reasons = lines_of([f"{some}: {reason}" for some, reason in by_reason(told)])
        raise SkippedRunsError(f"{len(names)} of {counted(seen, 'run')} could not be exported:{reasons}")
    if names:
        logger.warning(
            "Of %s, %d could not be exported; skipped says why: %s",
            counted(seen, "run"),
            len(names),
            ", ".join(some_of(list(names.values()))),
        )
    return done


class _Export:
    """An export under way: what the dataset has, what is to be written next, what was left out."""

    def __init__(
        self,
        dataset: Dataset,
        parts: Sequence[str] | None,
        cache: str | PathLike[str] | None,
        tracking_uri: str | None,
    ) -> None:
        self.seen = 0
        self._dataset, self._parts, self._cache, self._tracking_uri = dataset, parts, cache, tracking_uri
        dataset.remove_unfinished()
        self._files: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # of a run's part: by SHA-256
        for run, sha256, file, part in dataset.runs(columns=("run", "sha256")).itertuples(index=False):
            self._files[run, part][sha256] = file
        self._waiting: dict[str, list[tuple[dict[str, Any], TopKSet]]] = defaultdict(list)
        self._replaced: dict[str, set[str]] = defaultdict(set)  # runs by file
        self._added = 0
        self._skipped: list[Skipped] = []

    def take(self, runs: list[str] | pd.DataFrame) -> None:
        """Export what is new of some runs; the last of it is written by `finish`."""
        selection = find_runs(runs, Search(), progress=False, tracking_uri=self._tracking_uri)
        self.seen += selection.asked
        self._skipped += selection.skipped
        rows = selection.rows
        wanted = [self._parts or [one for one in PARTS if one in sets] or [DEFAULT_PART] for sets in rows["sets"]]
        for part in self._parts or PARTS:
            new = [
                part in own and self._is_new(row, part) for own, (_, row) in zip(wanted, rows.iterrows(), strict=True)
            ]
            missing = rows[new]
            for first in range(0, len(missing), _SETS_AT_ONCE):
                self._pull(missing.iloc[first : first + _SETS_AT_ONCE], part)

    def finish(self) -> None:
        """Write what is left, and remove the sets that others have replaced."""
        for part in self._waiting:
            self._write(part)
        for file, runs in self._replaced.items():
            self._dataset.leave_out(file, runs)

    def result(self) -> ExportedDataset:
        """What was done."""
        runs = {run for run, _ in self._files}
        replaced = sum(map(len, self._replaced.values()))
        uri = self._dataset.place.uri
        return ExportedDataset(uri, len(runs), len(self._files), self._added, replaced, tuple(self._skipped))

    def _is_new(self, row: pd.Series[Any], part: str) -> bool:
        """Whether the dataset does not have the set that a run lists."""
        listed = row["sets"].get(part)
        if listed is None:
            return True  # pulling says why there is none
        file = self._files.get((row["run_id"], part), {}).get(listed["sha256"])
        if file is not None:  # an export that was killed may have left an older one beside it
            self._is_now(row["run_id"], part, listed["sha256"], file)
        return file is None

    def _is_now(self, run: str, part: str, sha256: str, file: str) -> None:
        """Note a run's current set, and that others are to be removed."""
        for other, place in self._files[run, part].items():
            if place and other != sha256:
                self._replaced[place].add(run)
        self._files[run, part] = {sha256: file}

    def _pull(self, rows: pd.DataFrame, part: str) -> None:
        pulled = pull_sets(
            rows, part=part, topk=None, cache=self._cache, progress=False, tracking_uri=self._tracking_uri
        )
        for (_, row), one in zip(rows.iterrows(), pulled, strict=True):
            if isinstance(one, TopKSet):
                sha256 = row["sets"][part]["sha256"]
                self._waiting[part].append(({"run": row["run_id"], **_described(row), "sha256": sha256}, one))
                self._is_now(row["run_id"], part, sha256, "")
            elif not isinstance(one, UnavailableError):
                self._skipped.append(Skipped.of(row, str(one)))
        if sum(len(one) for _, one in self._waiting[part]) >= _ROWS_OF_A_FILE:
            self._write(part)
        if outages := [one for one in pulled if isinstance(one, UnavailableError)]:
            self.finish()
            raise outages[0]

    def _write(self, part: str) -> None:
        waiting, self._waiting[part] = self._waiting[part], []
        if waiting:
            rows, sets = zip(*waiting, strict=True)
            self._dataset.add(part, rows, sets)
            self._added += len(sets)


def _described(row: pd.Series[Any]) -> dict[str, Any]:
    """What the table of runs says of a run, as Parquet can hold it."""
    return {name: _plain(row[name]) for name in OF_A_RUN}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [visible(text) for text in value]
    if isinstance(value, str):
        return visible(value)
    return None if pd.isna(value) else value
