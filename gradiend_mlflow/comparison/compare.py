"""The question in one call: find runs, pull their sets, compare them, log the answer back to MLflow."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike

import pandas as pd

from gradiend_mlflow.checks import check_names
from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.labels import TRAINING_RUN, Groups, Labels, groups_of, labels_of
from gradiend_mlflow.comparison.log import log_comparison
from gradiend_mlflow.comparison.notes import notes_of
from gradiend_mlflow.comparison.selection import Search, Skipped, find_runs, pull, usable, with_seeds
from gradiend_mlflow.errors import InvalidInputError, SkippedRunsError
from gradiend_mlflow.overlap.measures import RBO_P, Value, check_value
from gradiend_mlflow.overlap.overlap import compute_overlap
from gradiend_mlflow.overlap.seeds import (
    Aggregate,
    Dispersion,
    Pairing,
    SeedGroupPolicy,
    SeedOverlap,
    SeedPolicy,
    Seeds,
)
from gradiend_mlflow.sets.parts import check_part, check_topk
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.wording import counted, lines_of, some_of

logger = logging.getLogger("gradiend_mlflow")


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
    rbo_p: float = RBO_P,
    labels: Labels = None,
    groups: Groups | None = None,
    seeds: Seeds = "best",
    seed_aggregate: Aggregate | None = None,
    dispersion: Dispersion = "none",
    seed_pairing_mode: Pairing = "matched",
    seed_group_policy: SeedGroupPolicy = "primary",
    strict: bool = False,
    log: bool = True,
    log_to: str | None = None,
    run_name: str | None = None,
    refresh: bool = False,
    link: bool = False,
    cache: str | PathLike[str] | None = None,
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
        value: Which measure is shown: "intersection" (a count), "intersection_frac" (over the smaller set),
            "jaccard", "mass_overlap", "cosine", "cosine_signed", "spearman", "spearman_signed" or "rbo". All are in
            `comparison.overlap`.
        rbo_p: The parameter p of rank-biased overlap; see `gradiend_mlflow.measures.rbo`.
        labels: How to call the runs: a column of `search_runs`, "params.<name>", "tags.<name>", a mapping from run id,
            or a callable of a row; default gradiend's run_id, else the run's name. Labels that clash are told apart
            by experiment, seed, name or run id, whichever differs.
        groups: Which runs belong together: a column, "params.<name>" or "tags.<name>", a mapping from label or run
            id to group, or one from group to labels. Drawn as brackets, and averaged by `to_frame("groups")`.
        seeds: "best": the selected model of each training; "all_convergent" or "all_tried": its seeds, which are its
            child runs. A training with fewer than two such seeds is represented by its selected model.
        seed_aggregate: None for a row per seed; "mean", "median", "min" or "max" for a row per training, whose
            numbers are aggregates over pairs of seeds, as gradiend's.
        dispersion: "none", "std", "range" or "minmax" of those pairs; see `SeedPolicy`.
        seed_pairing_mode: "matched" or "all_pairs"; see `SeedPolicy`.
        seed_group_policy: "primary", "union" or "intersection" of the seeds' sets, for Venn diagrams and regions.
        strict: Raise where runs would be skipped.
        log: Whether to log the comparison.
        log_to: The experiment to log it to, made if needed; default that of the runs, or "gradiend-comparisons"
            if they come from several.
        run_name: The comparison run's name; default who is compared, and the answer, numbered if it is taken.
        refresh: Log a new run even if one answers the same question about the same sets (the same runs, SHA-256s and
            settings, in any order) in that experiment; by default that one is found, by its `run_name` if one is
            given. Its figures keep their order.
        link: Tag the compared runs with the comparison, as `gradiend.comparisons`, a JSON list of run ids. Without
            it they are not touched.
        cache: Where pulled sets are kept, as for `load_topk`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The comparison. Runs that cannot be compared are in `comparison.skipped` with the reason: they are not
        finished, have no set of that part, too small a one, or one that cannot be read. Logged, it is a run of the
        kind "comparison" with overlap_heatmap, venn (2 to 6 runs), upset (3 to 500), curve (up to 500) and layers as
        PNG and PDF, report.html, matrix.csv, pairs.csv (the first 500), runs.csv, and comparison.json: the settings,
        the numbers, the source runs and the SHA-256 of each set. With sets.zip, the compared sets, `load_comparison`
        gives it back.

    Raises:
        InvalidInputError: If fewer than two runs can be compared, or an argument is not acceptable, or two do not go
            together.
        SkippedRunsError: If `strict` and a run would be skipped.
        StoreError: If MLflow cannot be reached, or an experiment or a run does not exist.
        SpaceConflictError: If two runs have the same parameter with different shapes.

    Example:
        ::

            comparison = compare(experiment_names="pronouns", topk=500)
            comparison.matrix.loc["3SG_3PL", "1SG_1PL"]
    """
    part, topk, value = check_part(part), check_topk(topk), check_value(value)
    _check_switches(strict=strict, log=log, refresh=refresh, link=link)
    check_names(log_to=log_to, run_name=run_name)
    policy = SeedPolicy(seeds, seed_aggregate, dispersion, seed_pairing_mode, seed_group_policy)
    search = Search(experiment_names, experiment_ids, filter_string, search_all_experiments)
    asked = find_runs(runs, search, tracking_uri=tracking_uri)
    trainings, unfinished = usable(asked)
    rows, alone = with_seeds(trainings, policy.seeds, tracking_uri=tracking_uri)
    rows, unfinished_seeds = usable(rows)
    pulled = pull(rows, part=part, topk=topk, cache=cache, tracking_uri=tracking_uri)
    skipped = (*unfinished, *unfinished_seeds, *pulled.skipped)
    compared = pulled.rows["run_id" if policy.seed_aggregate is None else TRAINING_RUN].unique().tolist()
    _check_enough(compared, skipped, strict=strict, searched=str(search) if runs is None else "")
    if skipped:
        logger.warning(
            "Of %s that were asked for, %d cannot be compared; comparison.skipped says why: %s",
            counted(len(asked), "run"),
            len(skipped),
            ", ".join(some_of([run.name for run in skipped])),
        )
    names = labels_of(pulled.rows, labels)
    frame = _labelled(pulled.rows, names)
    sets = dict(zip(names, pulled.cut, strict=True))
    overlap = compute_overlap(sets, rbo_p=rbo_p)
    shown, seed_overlap = frame, None
    if policy.seed_aggregate is not None:
        standing = trainings[trainings["run_id"].isin(frame[TRAINING_RUN])]
        shown = _labelled(standing, labels_of(standing, labels))
        members = tuple(tuple((frame[TRAINING_RUN] == run_id).to_numpy().nonzero()[0]) for run_id in shown["run_id"])
        seed_overlap = SeedOverlap(tuple(shown["label"]), overlap, members, policy)
    comparison = Comparison(
        overlap=overlap,
        sets=sets,
        stored=dict(zip(names, pulled.stored, strict=True)),
        runs=frame,
        part=part,
        topk=topk,
        value=value,
        seed_overlap=seed_overlap,
        groups=None if groups is None else groups_of(groups, shown),
        skipped=skipped,
        notes=(*alone, *notes_of(frame, sets, overlap, topk)),
    )
    if not log:
        return comparison
    return replace(
        comparison,
        run_id=log_comparison(
            comparison, Store(tracking_uri), log_to=log_to, run_name=run_name, refresh=refresh, link=link
        ),
    )


def _check_switches(**switches: bool) -> None:
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise InvalidInputError(f"{name} must be True or False; got {value!r}")
    if switches["link"] and not switches["log"]:
        raise InvalidInputError("link=True tags the runs with the logged comparison, so it cannot go with log=False")


def _check_enough(compared: Sequence[str], skipped: Sequence[Skipped], *, strict: bool, searched: str) -> None:
    reasons = lines_of([f"{run.name} ({run.run_id}): {run.reason}" for run in skipped])
    found = len(compared)
    if strict and skipped:
        raise SkippedRunsError(f"{len(skipped)} of {found + len(skipped)} runs cannot be compared:{reasons}")
    if found < 2:  # noqa: PLR2004
        names = ", ".join(compared) or "none"
        raise InvalidInputError(
            f"compare needs at least two runs with top-k sets; found {found}: {names}"
            + (f" ({searched})" if searched else "")
            + (f"\nSkipped:{reasons}" if skipped else "")
        )


def _labelled(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    frame = rows.reset_index(drop=True).drop(columns="label", errors="ignore")
    frame.insert(0, "label", list(names))
    return frame
