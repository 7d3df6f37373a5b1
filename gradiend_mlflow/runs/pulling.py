"""Pulling top-k sets out of runs: in parallel, verified, without a model or torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.display.progress import check_progress, with_progress
from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError, InvalidInputError, StoreError
from gradiend_mlflow.runs.cache import open_cache
from gradiend_mlflow.runs.downloads import SetFile, download_all
from gradiend_mlflow.runs.labels import Labels, labels_of
from gradiend_mlflow.runs.search import all_results, complete_frame, result_or_error
from gradiend_mlflow.sets.artifact import parse_topk
from gradiend_mlflow.sets.parts import check_part, check_topk, resolve_topk
from gradiend_mlflow.sets.reading.parquet import MOST_BYTES
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import Reader
from gradiend_mlflow.store.retries import Haste
from gradiend_mlflow.untrusted import quoted
from gradiend_mlflow.wording import some_of

NO_STEPS = "it was logged without topk_steps=..., was imported, or did not come to its end"
# Only such paths are fetched: a server must not be able to point a client at other files.
_SET_PATH = re.compile(rf"{tags.TOPK_FOLDER}/[A-Za-z0-9._-]+\.parquet")
# Bytes that the file of a set may have: those of its space, and those of each weight, with hundreds of latent neurons.
_OF_A_SPACE = 2**24
_OF_A_WEIGHT = 2**10


def load_topk(
    runs: Sequence[str] | pd.DataFrame,
    *,
    part: str = "decoder-weight",
    topk: float = 1000,
    step: int | None = None,
    labels: Labels = "run_id",
    cache: str | PathLike[str] | None = None,
    progress: bool | None = None,
    tracking_uri: str | None = None,
) -> dict[str, TopKSet]:
    """Pull one top-k set per run straight from the runs' artifacts, in parallel, each verified by its SHA-256.

    Args:
        runs: MLflow run ids, or rows of `search_runs` (which saves a request per run).
        part: Which of gradiend's four importances.
        topk: How many weights, or which fraction of each run's own input_dim.
        step: The step of the training whose set is pulled: one of those that `autolog(topk_steps=...)` asked for, of
            which at most 1000 weights are logged. Default: the set of the selected model.
        labels: What the sets are called in the result: as for `compare`, so None for gradiend's run_ids, else names;
            default MLflow's run ids.
        cache: The directory where pulled files are kept, or "off"; default what the environment's
            GRADIEND_MLFLOW_CACHE says, else the user's cache directory. What was used longest ago is removed from it
            beyond GRADIEND_MLFLOW_CACHE_SIZE gigabytes (default 2).
        progress: As for `search_runs`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The set of each run by its label, in the order of `runs`, cut to `topk`.

    Raises:
        StoreError: If a run is missing, has no such part or step, or cannot be downloaded.
        ArtifactError: If a set's file is damaged or is not the one that was logged.
        InvalidInputError: If `part`, `topk`, `step` or `labels` is not acceptable, or a run kept fewer weights than
            `topk` asks for. An error about several runs names them, up to 20.

    Example:
        ::

            sets = load_topk(search_runs("pronouns"), topk=500, labels=None)
            compute_overlap(sets).to_frame()
    """
    check_progress(progress)
    part, topk = check_part(part), check_topk(topk)
    step = None if step is None else check_int("step", step, least=0)
    runs = complete_frame(runs, progress=progress, tracking_uri=tracking_uri)
    names = labels_of(runs, labels)
    pulled = pull_sets(
        runs, part=part, topk=topk, step=step, cache=cache, progress=progress, tracking_uri=tracking_uri
    )
    sets = all_results(list(runs["run_id"]), pulled, "have no usable set")
    return dict(zip(names, sets.values(), strict=True))


def pull_sets(
    runs: pd.DataFrame,
    *,
    part: str,
    topk: float | None,
    step: int | None = None,
    cache: str | PathLike[str] | None,
    progress: bool | None,
    tracking_uri: str | None,
) -> list[TopKSet | GradiendMLflowError]:
    """The set of each run, or the error that says why there is none, in the order of `runs`, rows of `search_runs`.

    The other arguments are those of `load_topk`, already checked; `topk` None means all logged weights.
    """
    store, kept = Reader(tracking_uri), open_cache(cache)

    def download(file: SetFile, haste: Haste | None) -> bytes:
        data = store.fetch(file.artifact_uri, file.path, sha256=file.sha256, most=file.most, haste=haste)
        kept.write(file.sha256, data)
        return data

    def parsed(data: bytes, file: SetFile) -> TopKSet:
        if step is None or topk is None:
            return parse_topk(data, origin=file.path, topk=topk)
        whole = parse_topk(data, origin=file.path)
        if resolve_topk(topk, whole.input_dim) > len(whole):  # other than of final sets, no option keeps more
            raise InvalidInputError(
                f"topk={topk} is more than the {len(whole):,} weights that the set of a step holds, which are 1,000 "
                f"at most: pass topk={len(whole)} or less"
            )
        return whole.top(topk)

    def from_cache(artifact_uri: str, sets: Mapping[str, Any], run_tags: Mapping[str, str]) -> TopKSet | SetFile:
        if step is None:
            file = file_of(artifact_uri, sets, run_tags, part)
        else:
            file = _file_of_step(artifact_uri, run_tags, part, step)
        data = kept.read(file.sha256)
        return file if data is None else parsed(data, file)

    said = list(zip(runs["artifact_uri"], runs["sets"], runs["tags"], strict=True))
    found = [result_or_error(from_cache, *run) for run in with_progress(said, "look up", "set", show=progress)]
    wanted = {place: one for place, one in enumerate(found) if isinstance(one, SetFile)}
    pulled = {place: one for place, one in enumerate(found) if not isinstance(one, SetFile)}
    places, files = list(wanted), list(wanted.values())
    # Only downloads run in threads: parsing is Python's own work, which several threads do not make faster.
    coming = with_progress(download_all(files, download), "pull", "set", show=progress, total=len(files))
    for number, data in coming:
        if isinstance(data, bytes):
            pulled[places[number]] = result_or_error(parsed, data, files[number])
        else:
            pulled[places[number]] = data
    kept.trim()
    return [pulled[place] for place in range(len(found))]


def file_of(
    artifact_uri: str, sets: Mapping[str, Mapping[str, Any]], run_tags: Mapping[str, str], part: str
) -> SetFile:
    """The file of a run's set, as its tag lists it.

    Raises:
        StoreError: If the run has no set of the part.
        ArtifactError: If the tag is damaged, or lists a path that is not a set's.
    """
    damage = None if sets else tags.damage_of_sets(run_tags)
    if damage is not None:
        raise ArtifactError(f"its tag {tags.TOPK} cannot be read: {damage}")
    if part not in sets:
        if run_tags.get(tags.KIND) == tags.COMPARISON:
            raise StoreError("it is a comparison, which has no sets of its own; name trainings or seeds")
        parts = ", ".join(sets) or "none"
        raise StoreError(
            f"it has no set of the part {part!r} (it has: {parts}). Compare another part, leave this run out, or, if "
            "its GRADIEND has that part, log it: log_topk(checkpoint, run_id=...)"
        )
    path = sets[part]["path"]
    if not _SET_PATH.fullmatch(path):
        raise ArtifactError(f"its tag {tags.TOPK} names a path that is not a set's: {quoted(path)}")
    return SetFile(artifact_uri, path, sets[part]["sha256"], largest_set(sets[part]["k"]))


def _file_of_step(artifact_uri: str, run_tags: Mapping[str, str], part: str, step: int) -> SetFile:
    """The file of a run's set at a step of its training.

    Raises:
        StoreError: If the run has no set of that step, or only one of another part.
        ArtifactError: If the tag that lists them is damaged.
    """
    try:
        sets = tags.sets_of_steps(run_tags)
    except ValueError as error:
        raise ArtifactError(f"its tag {tags.TOPK_STEPS} cannot be read: {error}") from error
    if step not in sets:
        there = f"it has those of {', '.join(some_of(list(map(str, sorted(sets)))))}" if sets else NO_STEPS
        raise StoreError(f"it has no set of step {step}: {there}")
    entry = sets[step]
    if entry["part"] != part:
        raise StoreError(f"its sets of steps are of {quoted(entry['part'])}, not of {part}: give part=...")
    return SetFile(artifact_uri, entry["path"], entry["sha256"], largest_set(entry["k"]))


def largest_set(k: int) -> int:
    """How many bytes the file of a set of k weights may have: ten times what such files have, and at most 1 GB."""
    return min(_OF_A_SPACE + _OF_A_WEIGHT * k, MOST_BYTES)
