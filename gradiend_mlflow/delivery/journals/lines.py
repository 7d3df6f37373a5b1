"""Records as lines of a journal: how they are written, and how lines that anybody may have written are read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from gradiend_mlflow.delivery.journals.records import (
    Describe,
    Destination,
    DrawPicture,
    EndRun,
    ImportAccount,
    KnownRun,
    LeftAccount,
    LinkModel,
    LogInputs,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import shortened_param
from gradiend_mlflow.store.store import DataInput, MetricPoint
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.untrusted import (
    MOST_QUOTED,
    as_bool,
    as_dict,
    as_int,
    as_list,
    as_str,
    optional,
    parse_json,
    quoted,
)

MOST_LINE = 16 * 2**20  # bytes
_YEAR_10000 = 253_402_300_800_000  # in milliseconds since the epoch
_STATUSES = ("FINISHED", "FAILED", "KILLED")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Tags of a finished training that its trainer knows better than its files.
_ABOUT = (tags.RUN_ID, tags.BASE_MODEL, tags.TARGET_CLASSES)


@dataclass(frozen=True)
class Line:
    """A record and the time at which it was made, in milliseconds since the epoch."""

    made: int
    record: Record


def write_line(record: Record, made: int, folder: Path) -> bytes:
    """A record as one line of a journal in `folder`; paths are written relative to it.

    The time at which it was made is in milliseconds since the epoch. Of params that would make the line too long to be
    read, what MLflow would cut is left out.

    Raises:
        ValueError: If the line would be too long nevertheless.
    """

    def as_json(value: Any) -> Any:
        return os.path.relpath(value, folder) if isinstance(value, Path) else dict(vars(value))

    own = _account_fields(record) if isinstance(record, ImportAccount) else vars(record)
    content = {"said": made, "is": _NAMES[type(record)], **own}
    line = json.dumps(content, separators=(",", ":"), default=as_json).encode() + b"\n"
    if len(line) <= MOST_LINE:
        return line
    if isinstance(record, LogParams):
        short = {key: shortened_param(value) for key, value in record.params.items()}
        if short != record.params:
            return write_line(replace(record, params=short), made, folder)
    raise ValueError(f"a record has {len(line):,} bytes, and journals hold at most {MOST_LINE:,} in a line")


def _account_fields(record: ImportAccount) -> dict[str, Any]:
    """A finished training's files are not copied into the journal; it says where they are."""
    account = record.account
    return {
        "key": record.key,
        "name": account.name,
        "about": {key: account.run_tags[key] for key in _ABOUT if key in account.run_tags},
        "directory": account.directory,
        "experiment_dir": account.training.experiment_dir,
        "options": replace(record.options, tracking_uri=None),  # the journal says where, without a password
        "destination": record.destination,
        "parent": record.parent,
    }


def read_line(line: bytes, folder: Path) -> Line:
    """The record of one line of a journal in `folder`; no file is opened.

    Raises:
        ValueError: If the line is not a record.
    """
    content = dict(as_dict(parse_json(line, most=MOST_LINE, non_finite=True), "a record"))
    made, name = _as_time(content.pop("said", None), "said"), as_str(content.pop("is", None), "is")
    if name not in _KINDS:
        raise ValueError(f"a record of the unknown kind {quoted(name)}")
    kind: Callable[..., Record] = _KINDS[name]
    expected = {"key": _as_id, **_FIELDS[_KINDS[name]]}
    if odd := (content.keys() - expected.keys()) | (expected.keys() - content.keys() - _optional_fields(_KINDS[name])):
        raise ValueError(f"a {name} must have the fields {', '.join(expected)}; these differ: {quoted(sorted(odd))}")
    values = {field: expected[field](value, field) for field, value in content.items()}
    if values.get("deferred") and values.get("parent") is not None:
        raise ValueError("a run that starts with its first child is not a child itself")
    located = {field: folder / value if isinstance(value, Path) else value for field, value in values.items()}
    return Line(made, kind(**located))


def _optional_fields(kind: type[Record]) -> set[str]:
    """Those that a line may lack, because older versions did not write them or they are seldom there."""
    return {field.name for field in fields(kind) if field.default is not MISSING}


# ------------------------------------------------------------------------------------------------------------ fields

_Check = Callable[[Any, str], Any]


def _as_id(value: Any, name: str) -> str:
    """A key of ours or an id of MLflow's: nothing that could be more than a value in MLflow's filters."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{name} must be up to 64 letters, digits, - and _; got {quoted(value)}")
    return value


def _as_text(value: Any, name: str) -> str:
    if "\0" in as_str(value, name, most=MOST_LINE):
        raise ValueError(f"{name} must not contain NUL; got {quoted(value)}")
    return str(value)


def _as_texts(value: Any, name: str) -> dict[str, str]:
    return {_as_text(key, name): _as_text(one, f"{name}[{quoted(key)}]") for key, one in as_dict(value, name).items()}


def _as_time(value: Any, name: str) -> int:
    return as_int(value, name, least=-_YEAR_10000, most=_YEAR_10000 - 1)


def _as_path(value: Any, name: str) -> Path:
    return Path(_as_text(as_str(value, name, most=10_000), name))


def _as_folder(value: Any, name: str) -> str:
    folder = _as_text(value, name)
    if folder.startswith("/") or ".." in re.split(r"[/\\]", folder):
        raise ValueError(f"{name} must be an artifact folder of the run; got {quoted(folder)}")
    return folder


def _as_status(value: Any, name: str) -> str:
    if value not in _STATUSES:
        raise ValueError(f"{name} must be one of {', '.join(_STATUSES)}; got {quoted(value)}")
    return str(value)


def _as_point(value: Any, name: str) -> MetricPoint:
    if not isinstance(value, list) or len(value) != len(MetricPoint._fields):
        raise ValueError(f"{name} must list {', '.join(MetricPoint._fields)}; got {quoted(value)}")
    key, number, timestamp, step = value
    if not isinstance(number, (int, float)) or isinstance(number, bool):  # NaN and infinity are values
        raise ValueError(f"{name} must have a number for a value; got {quoted(number)}")  # noqa: TRY004  # one kind
    return MetricPoint(_as_text(key, name), number, _as_time(timestamp, name), as_int(step, name, least=-(2**63)))


def _as_points(value: Any, name: str) -> tuple[MetricPoint, ...]:
    return tuple(as_list(value, name, _as_point))


def _as_input(value: Any, name: str) -> DataInput:
    if not isinstance(value, list) or len(value) != len(DataInput._fields):
        raise ValueError(f"{name} must list {', '.join(DataInput._fields)}; got {quoted(value)}")
    return DataInput(*(_as_text(text, field) for text, field in zip(value, DataInput._fields, strict=True)))


def _as_inputs(value: Any, name: str) -> tuple[DataInput, ...]:
    return tuple(as_list(value, name, _as_input))


def _as_destination(value: Any, name: str) -> Destination:
    given = as_dict(value, name)
    if odd := given.keys() - {field.name for field in fields(Destination)}:
        raise ValueError(f"{name} has the unknown fields {quoted(sorted(odd))}")
    return Destination(
        experiment_id=optional(given.get("experiment_id"), "experiment_id", _as_id),
        experiment_name=optional(given.get("experiment_name"), "experiment_name", _as_text),
        adopt=optional(given.get("adopt"), "adopt", _as_id),
        views=as_bool(given.get("views", True), "views"),
    )


def _as_options(value: Any, name: str) -> LogOptions:
    """The options of an import."""
    given = dict(as_dict(value, name))
    if odd := given.keys() - {field.name for field in fields(LogOptions)}:
        raise ValueError(f"{name} has the unknown options {quoted(sorted(odd))}")
    if "parts" in given:
        given["parts"] = tuple(as_list(given["parts"], "parts", _as_text))
    if given.get("extra_tags") is not None:
        given["extra_tags"] = _as_texts(given["extra_tags"], "extra_tags")
    try:
        return LogOptions(**given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} are not acceptable: {str(error)[:MOST_QUOTED]}") from None


def _optional_id(value: Any, name: str) -> str | None:
    return optional(value, name, _as_id)


def _optional_text(value: Any, name: str) -> str | None:
    return optional(value, name, _as_text)


_FIELDS: Mapping[type[Record], Mapping[str, _Check]] = {
    StartRun: {
        "name": _as_text,
        "run_tags": _as_texts,
        "start_time": _as_time,
        "destination": _as_destination,
        "parent": _optional_id,
        "deferred": as_bool,
    },
    KnownRun: {"run_id": _as_id, "experiment_id": _as_id},
    LeftAccount: {
        "name": _as_text,
        "about": _as_texts,
        "directory": _as_path,
        "experiment_dir": _as_path,
        "options": _as_options,
        "destination": _as_destination,
        "parent": _optional_id,
    },
    LogMetrics: {"points": _as_points},
    LogParams: {"params": _as_texts},
    SetTags: {"run_tags": _as_texts},
    Describe: {"description": _as_text},
    LogInputs: {"inputs": _as_inputs},
    Upload: {"file": _as_path, "folder": _as_folder},
    DrawPicture: {"directory": _as_path},
    LinkModel: {
        "name": _as_text,
        "directory": _as_path,
        "params": _as_texts,
        "points": _as_points,
        "base_model": _optional_text,
        "copied": as_bool,
        "registered_as": _optional_text,
    },
    EndRun: {"status": _as_status, "end_time": _as_time},
}
# Their names in journals must not change when a class is renamed.
_KINDS = {kind.__name__: kind for kind in _FIELDS if kind is not LeftAccount} | {"RecordAccount": LeftAccount}
_NAMES = {kind: name for name, kind in _KINDS.items()} | {ImportAccount: "RecordAccount"}
