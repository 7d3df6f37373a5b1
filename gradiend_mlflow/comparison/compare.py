"""The question in one call: find runs, pull their sets, compare them, log the answer back to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike

import numpy as np
import pandas as pd

from gradiend_mlflow.checks import check_flags
from gradiend_mlflow.comparison.chosen.groups import Groups, groups_of
from gradiend_mlflow.comparison.chosen.selection import Search, Selection, choose_seeds, find_runs, pull
from gradiend_mlflow.comparison.compared import seed_numbers
from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.log import LoggingChoices, logged
from gradiend_mlflow.errors import InvalidInputError, SkippedRunsError, logger
from gradiend_mlflow.overlap.measures import RBO_P, Unit, Value, check_p, check_unit, check_value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import (
    Aggregate,
    Dispersion,
    Pairing,
    SeedGroupPolicy,
    SeedOverlap,
    SeedPolicy,
    Seeds,
)
from gradiend_mlflow.overlap.shared_weights import special_tokens_note
from gradiend_mlflow.overlap.units import NeuronOverlap, compute_overlap
from gradiend_mlflow.runs.labels import TRAINING_RUN, Labels, labels_of
from gradiend_mlflow.sets.parts import Part, check_part, check_topk
from gradiend_mlflow.sets.reading.signals import signal_notes
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.wording import by_reason, counted, lines_of, some_of, visible


@dataclass(frozen=True)
class Display:
    """Which numbers to show, and under which labels and groups; the arguments of `compare`."""

    value: Value
    rbo_p: float
    unit: Unit
    labels: Labels
    groups: Groups | None


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
    unit: Unit = "weight",
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
    views: bool = True,
    cache: str | PathLike[str] | None = None,
    progress: bool | None = None,
    tracking_uri: str | None = None,
) -> Comparison:
    """Compare the top-k weights of logged runs, from their artifacts alone, and log the answer as a run.

    Args:
        runs: MLflow run ids, or rows of `search_runs`; default the runs that the next four arguments find.
        experiment_names: As for `search_runs`.
        experiment_ids: As for `search_runs`.
        filter_string: As for `search_runs`.
        search_all_experiments: As for `search_runs`.
        part: Which of gradiend's four importances: "encoder-weight", "decoder-weight", "decoder-bias" or
            "decoder-sum".
        topk: How many weights (an int), or which fraction of each run's own input_dim (a float in (0, 1]).
        value: Which measure is shown: "intersection" (a count), "intersection_frac" (over the smaller set),
            "jaccard", "mass_overlap", "cosine", "cosine_signed", "spearman", "spearman_signed",
            "sign_agreement" or "rbo". All are in `comparison.overlap`.
        rbo_p: The parameter p of rank-biased overlap (Webber, Moffat and Zobel 2010), above 0 and below 1: rank d has
            the weight p^(d-1), so the smaller p, the more the first ranks count. Default 0.98.
        unit: "weight", or "neuron" to compare the neurons that hold at least one of each run's top-k weights: output
            units of matrices and rows of embeddings. See `compute_overlap`.
        labels: How to call the runs: a column of `search_runs`, "params.<name>", "tags.<name>", a mapping to labels
            from MLflow's run ids, gradiend's run_ids or the labels that runs have by default, or a callable of a row;
            default gradiend's run_id, else the run's name. Labels that clash are extended by the experiment, seed,
            name or run id, whichever differs.
        groups: Which runs belong together: a column, "params.<name>" or "tags.<name>", a mapping to groups from
            labels, MLflow's run ids or gradiend's run_ids, or one from group to a list of these. Drawn as brackets,
            averaged by `to_frame("groups")`, and tested by `test_groups()`: a logged comparison has the answer in its
            description and metrics.
        seeds: "best": the selected model of each training; "all_convergent" or "all_tried": its seeds, which are its
            child runs. A training with fewer than two such seeds is represented by its selected model.
        seed_aggregate: None for a row per seed; "mean", "median", "min" or "max" for a row per training, whose
            numbers are aggregates over pairs of seeds, as gradiend's.
        dispersion: The spread of those pairs in `to_frame`: "none", "std" (population standard deviation), "range"
            (half of it) or "minmax" (both ends).
        seed_pairing_mode: Which seeds of two trainings are compared: "matched" (the first with the first, and so on)
            or "all_pairs".
        seed_group_policy: Which weights a training has in Venn diagrams and regions: those of its first seed
            ("primary"), of any ("union") or of all ("intersection").
        strict: Raise if runs would be skipped.
        log: Whether to log the comparison.
        log_to: The experiment to log it to, made if needed; default that of the runs, or "gradiend-comparisons"
            if they come from several.
        run_name: The comparison run's name; default who is compared, and the answer, numbered if it is taken.
        refresh: Log a new run even if one answers the same question about the same sets (the same runs, SHA-256s and
            settings, in any order) in that experiment; by default that one is found, by its `run_name` if one is
            given. Its figures keep their order.
        link: Tag the compared runs with the comparison, as `gradiend.comparisons`, a JSON list of run ids. Without
            it they are not changed.
        views: Whether the experiment gets saved views of its run list, as for `autolog`.
        cache: Where pulled sets are kept, as for `load_topk`.
        progress: As for `search_runs`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The comparison. Runs that cannot be compared are in `comparison.skipped` with the reason: they are not
        finished, have no set of that part, too small a one, or one that cannot be read. Logged, it is a run of the
        kind "comparison" with overlap_heatmap, venn (2 to 6 runs), upset (3 to 500), curve (up to 500) and layers as
        PNG and PDF, report.html, matrix.csv, pairs.csv (the first 500), runs.csv, and comparison.json: the settings,
        the numbers, the source runs and the SHA-256 of each set. With sets.zip, the compared sets, `load_comparison`
        gives it back. If the account may not log it, or the server has gone by then, `run_id` is None, and a warning
        says so.

    Raises:
        InvalidInputError: If fewer than two runs can be compared, or an argument is not acceptable, or two arguments
            contradict each other.
        SkippedRunsError: If `strict` and a run would be skipped.
        StoreError: If MLflow cannot be reached, or an experiment or a run does not exist.
        SpaceConflictError: If two runs have the same parameter with different shapes.

    Example:
        ::

            comparison = compare(experiment_names="pronouns", topk=500)
            comparison.matrix.loc["3SG_3PL", "1SG_1PL"]
    """
    check_flags(strict=strict)
    part, topk = check_part(part), check_topk(topk)
    display = Display(check_value(value, check_unit(unit)), check_p(rbo_p), unit, labels, groups)
    options = LoggingChoices(log, log_to, run_name, refresh, link, views, progress)
    policy = SeedPolicy(seeds, seed_aggregate, dispersion, seed_pairing_mode, seed_group_policy)
    search = Search(experiment_names, experiment_ids, filter_string, search_all_experiments)

    found = find_runs(runs, search, progress=progress, tracking_uri=tracking_uri)
    chosen = choose_seeds(found, policy.seeds, progress=progress, tracking_uri=tracking_uri)
    pulled = pull(chosen, part=part, topk=topk, cache=cache, progress=progress, tracking_uri=tracking_uri)
    _check(pulled, policy, strict=strict, searched=None if runs is not None else partial(search.told, tracking_uri))
    comparison = _numbered(pulled, policy, display, part, topk)
    return logged(comparison, Store(tracking_uri), options) if options.log else comparison


def _check(selection: Selection, policy: SeedPolicy, *, strict: bool, searched: Callable[[int], str] | None) -> None:
    """Warn of runs that are skipped; `searched` tells where that many were found.

    Raises:
        SkippedRunsError: If `strict` and there are any.
        InvalidInputError: If fewer than two runs are left.
    """
    skipped = selection.skipped
    compared = selection.rows["run_id" if policy.seed_aggregate is None else TRAINING_RUN].unique().tolist()
    told = ((f"{run.name} ({run.run_id})", run.reason) for run in skipped)
    reasons = lines_of([f"{names}: {reason}" for names, reason in by_reason(told)])
    if strict and skipped:
        raise SkippedRunsError(f"{len(skipped)} of {len(compared) + len(skipped)} runs cannot be compared:{reasons}")
    if len(compared) < 2:  # noqa: PLR2004
        raise InvalidInputError(
            f"compare needs at least two runs with top-k sets; found {len(compared)}: {', '.join(compared) or 'none'}"
            + ("" if searched is None else f". {searched(selection.asked)}")
            + (f"\nSkipped:{reasons}" if skipped else "")
        )
    if skipped:
        logger.warning(
            "Of %s asked for, %d cannot be compared; comparison.skipped says why: %s",
            counted(selection.asked, "run"),
            len(skipped),
            ", ".join(some_of([run.name for run in skipped])),
        )


def _numbered(selection: Selection, policy: SeedPolicy, display: Display, part: Part, topk: float) -> Comparison:
    """The comparison of the selected runs, not logged."""
    runs = _labelled(selection.rows, display.labels)
    sets = dict(zip(runs["label"], selection.cut, strict=True))
    overlap = compute_overlap(sets, rbo_p=display.rbo_p, unit=display.unit)
    shown, seed_overlap = runs, None
    if policy.seed_aggregate is not None:
        trainings = selection.trainings
        shown = _labelled(trainings[trainings["run_id"].isin(runs[TRAINING_RUN])], display.labels)
        seed_overlap = _of_trainings(shown, runs, overlap, policy)
    return Comparison(
        overlap=overlap,
        sets=sets,
        stored=dict(zip(sets, selection.stored, strict=True)),
        runs=runs,
        part=part,
        topk=topk,
        value=display.value,
        seed_overlap=seed_overlap,
        groups=None if display.groups is None else groups_of(display.groups, shown),
        skipped=selection.skipped,
        notes=(*selection.notes, *_notes_of(runs, sets, overlap, topk), *_ties(sets, selection.stored)),
    )


def _of_trainings(trainings: pd.DataFrame, seeds: pd.DataFrame, overlap: Overlap, policy: SeedPolicy) -> SeedOverlap:
    """The overlap of the trainings, from that of their seeds."""
    rows = seeds.groupby(TRAINING_RUN).indices
    members = tuple(tuple(map(int, rows[run_id])) for run_id in trainings["run_id"])
    return SeedOverlap(tuple(trainings["label"]), overlap, members, policy, seed_numbers(seeds))


def _labelled(rows: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """The rows with a first column `label`."""
    names = labels_of(rows, labels)
    frame = rows.reset_index(drop=True).drop(columns="label", errors="ignore")
    frame.insert(0, "label", names)
    return frame


def _notes_of(runs: pd.DataFrame, sets: Mapping[str, TopKSet], overlap: Overlap, topk: float) -> tuple[str, ...]:
    """What one should know about a comparison before believing its numbers: one or two sentences per caveat."""
    notes = []
    base_models = list(dict.fromkeys(visible(str(topk_set.space.base_model)) for topk_set in sets.values()))
    if len(base_models) > 1:
        notes.append(
            f"The base models have {len(base_models)} names: {', '.join(some_of(base_models))}. The shapes of their "
            "common parameters agree, so weights are matched by parameter name and offset."
        )
    if len({topk_set.space.params for topk_set in sets.values()}) > 1:
        notes.append(
            "The runs select from different parameters. Chance levels count the parameters that both runs of a pair "
            "have."
        )
    selects = overlap.selects.astype(np.float64)  # products of ints are slow
    apart = np.argwhere(np.triu(selects @ selects.T == 0))
    if apart.size:
        pairs = [f"{overlap.labels[a]} and {overlap.labels[b]}" for a, b in apart]
        notes.append(f"No parameter in common, so nothing to share: {'; '.join(some_of(pairs))}.")
    small = [label for label, topk_set in sets.items() if isinstance(topk, int) and len(topk_set) < topk]
    if small:
        notes.append(f"Fewer than {topk:,} inputs, so all of them are compared: {', '.join(some_of(small))}.")
    unconverged = runs.loc[[converged is False for converged in runs["converged"]], "label"].tolist()
    if unconverged:
        notes.append(f"Did not converge: {', '.join(some_of(unconverged))}.")
    notes += signal_notes({label: topk_set.space.signal for label, topk_set in sets.items()})
    if special := special_tokens_note(overlap):
        notes.append(special)
    return (*notes, *(overlap.notes() if isinstance(overlap, NeuronOverlap) else ()))


def _ties(sets: Mapping[str, TopKSet], stored: Sequence[TopKSet]) -> Iterator[str]:
    """Where importances tie, other weights could as well be in a set, and agreement may mean nothing."""
    zero: list[str] = []
    constant: list[str] = []
    cut: list[str] = []
    unknown: list[str] = []
    for (label, topk_set), whole in zip(sets.items(), stored, strict=True):
        last = topk_set.importance[-1]
        inside, tied = int((topk_set.importance == last).sum()), topk_set.ties_at_cut
        least = int((whole.importance == last).sum()) if tied is None else tied
        if inside == len(topk_set) > 1 and tied != inside:
            (constant if last else zero).append(label)
        elif least > inside:
            cut.append(f"{label} ({inside:,} of {'at least ' * (tied is None)}{least:,} tied weights are in)")
        elif tied is None:
            unknown.append(label)
    accident = "so that the order of the base model's parameters decides which weights are in the set"
    if zero:
        yield (
            f"All importances are 0, {accident}: {', '.join(some_of(zero))}. By measures of importances or signed "
            "weights they agree with nothing, and not with themselves: 0, as in gradiend."
        )
    if constant:
        yield f"All importances are equal, {accident}: {', '.join(some_of(constant))}."
    if cut:
        yield f"Importances tie at the cut, {accident}: {', '.join(some_of(cut))}."
    if unknown:
        yield (
            "Whether more weights tie at the cut than are in the set is not known, because their files do not say so: "
            f"{', '.join(some_of(unknown))}."
        )
