"""A comparison read back from its own run, whose files anybody may have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

import pandas as pd

from gradiend_mlflow.comparison.chosen.selection import Skipped
from gradiend_mlflow.comparison.compared import seed_numbers
from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.files import FACTS, FORMAT, SET_NAME, SETS
from gradiend_mlflow.disk.archives import stored_files
from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError, InvalidInputError
from gradiend_mlflow.overlap.measures import Unit, Value, check_unit, check_value
from gradiend_mlflow.overlap.seeds import SeedOverlap, SeedPolicy
from gradiend_mlflow.overlap.units import compute_overlap
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.runs.pulling import largest_set
from gradiend_mlflow.runs.search import COLUMN_TYPES, COLUMNS
from gradiend_mlflow.sets.artifact import parse_topk
from gradiend_mlflow.sets.parts import Part, check_part, logged_topk
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import LoggedRun, Reader
from gradiend_mlflow.untrusted import (
    as_bool,
    as_dict,
    as_float,
    as_int,
    as_list,
    as_str,
    optional,
    parse_json,
    quoted,
)
from gradiend_mlflow.wording import visible

# Of 2000 runs, whose matrices fill most of it; and the sets of as many.
_LARGEST_FACTS, _LARGEST_ARCHIVE = 2**29, 2**31


@dataclass(frozen=True)
class Facts:
    """What comparison.json says, as far as a comparison cannot be computed from its sets again."""

    part: Part
    topk: float
    value: Value
    rbo_p: float
    unit: Unit
    labels: list[str]
    sizes: list[int]
    rows: list[dict[str, Any]]
    groups: dict[str, str] | None
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    policy: SeedPolicy | None
    trainings: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    sets_sha256: str


def fetch_files(store: Reader, run: LoggedRun) -> tuple[Facts, bytes]:
    """What a comparison's comparison.json says, and the content of its sets.zip, both verified.

    Raises:
        InvalidInputError, StoreError, ArtifactError: As for `load_comparison`.
    """
    facts = fetch_facts(store, run)
    most = min(sum(map(largest_set, facts.sizes)), _LARGEST_ARCHIVE)
    try:
        return facts, store.fetch(run.artifact_uri, SETS, sha256=facts.sets_sha256, most=most)
    except ArtifactError as error:
        raise ArtifactError(f"the comparison {run.run_id}: {error}") from error


def fetch_facts(store: Reader, run: LoggedRun) -> Facts:
    """What a comparison's comparison.json says, verified.

    Raises:
        InvalidInputError, StoreError, ArtifactError: As for `load_comparison`.
    """
    digest = run.tags.get(tags.COMPARISON_SHA256)
    if digest is None:
        raise InvalidInputError(f"the comparison {run.run_id} was not completed, or was logged without its sets")
    try:
        return read_facts(store.fetch(run.artifact_uri, FACTS, sha256=digest, most=_LARGEST_FACTS))
    except ArtifactError as error:
        raise ArtifactError(f"the comparison {run.run_id}: {error}") from error


def read_facts(data: bytes) -> Facts:
    """Check the content of a comparison.json.

    Raises:
        ArtifactError: If it is not as `written_files` writes it.
    """
    try:
        facts = as_dict(parse_json(data, most=_LARGEST_FACTS), "it")
        found = as_int(facts.get("format"), "format")
        if found != FORMAT:
            raise ArtifactError(f"{FACTS} is of the format {found}; this version reads {FORMAT}")
        return _checked(facts)
    except ValueError as error:
        raise ArtifactError(f"{FACTS} is not as it was written: {error}") from None


def _checked(facts: Mapping[str, Any]) -> Facts:
    labels = as_list(facts.get("labels"), "labels", _line)
    rows = as_list(facts.get("runs"), "runs", _row)
    sizes = as_list(facts.get("sizes"), "sizes", as_int)
    if not labels or len(set(labels)) < len(labels) or [row["label"] for row in rows] != labels:
        raise ValueError("labels must name its runs, each once, in their order")
    if len(sizes) != len(labels):
        raise ValueError(f"it has {len(sizes):,} sizes for {len(labels):,} runs")
    policy, trainings, members = _seeds(facts.get("seeds"), len(labels))
    groups = optional(facts.get("groups"), "groups", _lines_by_name)
    ungrouped = set(trainings if policy else labels) - set(groups if groups is not None else trainings or labels)
    if ungrouped:
        raise ValueError(f"groups must name every run; it lacks {quoted(min(ungrouped))}")
    topk, unit = facts.get("topk"), check_unit(as_str(facts.get("unit", "weight"), "unit", most=100))
    return Facts(
        part=check_part(as_str(facts.get("part"), "part", most=100)),
        topk=logged_topk(topk if isinstance(topk, int) else as_float(topk, "topk")),
        value=check_value(as_str(facts.get("value"), "value", most=100), unit),
        rbo_p=as_float(facts.get("rbo_p"), "rbo_p"),
        unit=unit,
        labels=labels,
        sizes=sizes,
        rows=rows,
        groups=groups,
        skipped=tuple(as_list(facts.get("skipped"), "skipped", _skipped)),
        notes=tuple(as_list(facts.get("notes"), "notes", _line)),
        policy=policy,
        trainings=trainings,
        members=members,
        sets_sha256=as_str(facts.get("sets_sha256"), "sets_sha256"),
    )


def _seeds(described: Any, rows: int) -> tuple[SeedPolicy | None, tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """How seeds are aggregated, the labels of the trainings, and each training's rows."""
    if described is None:
        return None, (), ()
    seeds = as_dict(described, "seeds")
    chosen: dict[str, Any] = {one.name: as_str(seeds.get(one.name), one.name, most=100) for one in fields(SeedPolicy)}
    labels = as_list(seeds.get("labels"), "the labels of the trainings", _line)
    members = as_list(seeds.get("members"), "members", lambda own, name: as_list(own, name, _row_number(rows)))
    if not labels or len(set(labels)) < len(labels) or len(members) != len(labels) or not all(members):
        raise ValueError("each training must have a label of its own, and seeds")
    return SeedPolicy(**chosen), tuple(labels), tuple(map(tuple, members))


def _row_number(rows: int) -> Callable[[Any, str], int]:
    return lambda value, name: as_int(value, name, most=rows - 1)


def _line(value: Any, name: str) -> str:
    return visible(as_str(value, name))


def _lines_by_name(value: Any, name: str) -> dict[str, str]:
    return {visible(key): _line(text, name) for key, text in as_dict(value, name).items()}


def _strings_by_name(value: Any, name: str) -> dict[str, str]:
    return {key: as_str(text, name) for key, text in as_dict(value, name).items()}


def _strings(value: Any, name: str) -> tuple[str, ...]:
    return tuple(as_list(value, name, as_str))


def _time(value: Any, name: str) -> datetime:
    try:
        return datetime.fromisoformat(as_str(value, name, most=100)).astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(f"{name} must be a time; got {quoted(value)}") from None


def _maybe(check: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, name: optional(value, name, check)


# How each column of a run is checked; the others hold a string, or nothing.
_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "label": _line,
    "run_id": as_str,
    "target_classes": _strings,
    "parts": _strings,
    "seed": _maybe(lambda value, name: as_int(value, name, least=-(2**63))),
    "converged": _maybe(as_bool),
    "correlation": _maybe(as_float),
    "k": as_int,
    "start_time": _maybe(_time),
    "sets": lambda value, _: tags.checked_sets(value),
    "params": _strings_by_name,
    "tags": _strings_by_name,
}


def _row(value: Any, name: str) -> dict[str, Any]:
    row = as_dict(value, name)
    return {
        column: _CHECKS.get(column, _maybe(as_str))(row.get(column), f"{name}.{column}")
        for column in ("label", *COLUMNS, TRAINING_RUN)
    }


def _skipped(value: Any, name: str) -> Skipped:
    run = as_dict(value, name)
    return Skipped(*(visible(as_str(run.get(one.name), one.name), lines=True) for one in fields(Skipped)))


def read_sets(archive: bytes, facts: Facts) -> dict[str, TopKSet]:
    """The sets in the content of a sets.zip, by label.

    Raises:
        ArtifactError: If it is not as `written_files` writes it.
    """
    try:
        contents = stored_files(archive, [SET_NAME.format(row) for row in range(len(facts.labels))])
    except ValueError as error:
        raise ArtifactError(f"{SETS} is not as it was written: {error}") from error
    named = zip(facts.labels, contents, strict=True)
    return {label: parse_topk(content, origin=f"{SETS}, {quoted(label)}") for label, content in named}


def rebuilt(facts: Facts, sets: Mapping[str, TopKSet], run_id: str) -> Comparison:
    """The comparison that these are the files of.

    Raises:
        ArtifactError: If they do not fit each other.
    """
    try:
        overlap = compute_overlap(sets, rbo_p=facts.rbo_p, unit=facts.unit)
        runs = pd.DataFrame(facts.rows, dtype=object).astype(COLUMN_TYPES)
        seed_overlap = None
        if facts.policy is not None:
            numbers = seed_numbers(runs)
            seed_overlap = SeedOverlap(facts.trainings, overlap, facts.members, facts.policy, numbers)
    except GradiendMLflowError as error:
        raise ArtifactError(f"{FACTS} and {SETS} do not fit: {error}") from error
    return Comparison(
        overlap=overlap,
        sets=sets,
        stored=sets,
        runs=runs,
        part=facts.part,
        topk=facts.topk,
        value=facts.value,
        seed_overlap=seed_overlap,
        groups=facts.groups,
        skipped=facts.skipped,
        notes=facts.notes,
        run_id=run_id,
    )
