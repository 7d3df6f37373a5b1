"""Records: what a training logs, as plain values that can wait in a queue or be written into a journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, cast

from gradiend_mlflow.store import tags
from gradiend_mlflow.store.store import MetricPoint
from gradiend_mlflow.trainings.account import Account, account_of
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.trainings.options import LogOptions


@dataclass(frozen=True)
class Destination:
    """The experiment of a new run; or, as `adopt`, the id of the user's active run, which is logged into instead."""

    experiment_id: str | None = None
    experiment_name: str | None = None
    adopt: str | None = None


@dataclass(frozen=True)
class Record:
    """One thing that is logged about the run `key`."""

    key: str


@dataclass(frozen=True)
class StartRun(Record):
    """Start the run `key`: as a child of the run `parent` if it is given, else at `destination`.

    A `deferred` run starts only when its first child does.
    """

    name: str
    run_tags: Mapping[str, str]
    start_time: int
    destination: Destination
    parent: str | None = None
    deferred: bool = False


@dataclass(frozen=True)
class KnownRun(Record):
    """The run `key` exists already: MLflow's ids of it and of its experiment."""

    run_id: str
    experiment_id: str


@dataclass(frozen=True)
class ImportAccount(Record):
    """Import a finished training as the run `key`, unless its experiment has it already."""

    account: Account
    options: LogOptions
    destination: Destination
    parent: str | None = None


@dataclass(frozen=True)
class LogMetrics(Record):
    """Log metric values to the run `key`."""

    points: tuple[MetricPoint, ...]


@dataclass(frozen=True)
class LogParams(Record):
    """Log params to the run `key`."""

    params: Mapping[str, str]


@dataclass(frozen=True)
class SetTags(Record):
    """Set tags of the run `key`."""

    run_tags: Mapping[str, str]


@dataclass(frozen=True)
class Upload(Record):
    """Upload a file, or the files of a directory, into an artifact folder of the run `key`."""

    file: Path
    folder: str


@dataclass(frozen=True)
class DrawPicture(Record):
    """Draw the sets whose files are in `directory`, and upload the picture to the run `key`."""

    directory: Path


@dataclass(frozen=True)
class LinkModel(Record):
    """Register the checkpoint in `directory`, which is not uploaded, as an external model of the run `key`."""

    name: str
    directory: Path
    params: Mapping[str, str]


@dataclass(frozen=True)
class EndRun(Record):
    """End the run `key`."""

    status: str
    end_time: int


# Their names in journals must not change when a class is renamed.
_NAMES = {kind: kind.__name__ for kind in Record.__subclasses__()} | {ImportAccount: "RecordAccount"}
_KINDS = {name: kind for kind, name in _NAMES.items()}
_TOGETHER = 1000
# Tags of a finished training that its trainer knows better than its files.
_ABOUT = (tags.RUN_ID, tags.BASE_MODEL, tags.TARGET_CLASSES)


@dataclass(frozen=True)
class Line:
    """A record and the time at which it was made, in milliseconds since the epoch."""

    made: int
    record: Record


def write_line(record: Record, made: int, folder: Path) -> bytes:
    """A record as one line of a journal in `folder`; paths are written relative to it.

    The time at which it was made is in milliseconds since the epoch.
    """

    def as_json(value: Any) -> Any:
        return os.path.relpath(value, folder) if isinstance(value, Path) else dict(vars(value))

    fields = _account_fields(record) if isinstance(record, ImportAccount) else vars(record)
    content = {"said": made, "is": _NAMES[type(record)], **fields}
    return json.dumps(content, separators=(",", ":"), default=as_json).encode() + b"\n"


def read_line(line: bytes, folder: Path) -> Line:
    """The record of one line of a journal in `folder`.

    Raises:
        ValueError: If the line is not a record, or is broken off.
        GradiendMLflowError: If it names a finished training that cannot be read any more.
    """
    content = json.loads(line)
    try:
        made, kind = content.pop("said"), _KINDS[content.pop("is")]
        fields = {name: _read_field(name, value, folder) for name, value in content.items()}
        return Line(made, _read_account(fields) if kind is ImportAccount else kind(**fields))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record: {type(error).__name__}: {error}") from error


def _read_field(name: str, value: Any, folder: Path) -> Any:
    match name:
        case "file" | "directory" | "experiment_dir":
            return folder / value
        case "points":
            return tuple(MetricPoint(*point) for point in value)
        case "destination":
            return Destination(**value)
        case "options":
            return LogOptions(**value)
    return value


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


def _read_account(fields: dict[str, Any]) -> ImportAccount:
    training = TrainingDirectory.of(fields.pop("directory").resolve(), fields.pop("experiment_dir").resolve())
    account = account_of(training, name=fields.pop("name"), about=fields.pop("about"))
    return ImportAccount(account=account, **fields)


def join_metrics(records: Iterable[Record]) -> Iterator[Record]:
    """The records in order; up to 1000 consecutive metrics records of one run become one."""
    for (key, are_metrics), group in groupby(records, lambda record: (record.key, isinstance(record, LogMetrics))):
        if not are_metrics:
            yield from group
            continue
        while some := cast(list[LogMetrics], list(islice(group, _TOGETHER))):
            yield LogMetrics(key, tuple(point for record in some for point in record.points))
