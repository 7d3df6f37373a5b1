"""What can be said of a run: plain values, so that they can wait, be sent later or be written down."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gradiend_mlflow.store import tags
from gradiend_mlflow.store.store import MetricPoint
from gradiend_mlflow.trainings.account import Account, account_of
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.trainings.options import LogOptions


@dataclass(frozen=True)
class Destination:
    """Where a run goes. `adopt` is the user's own active run, to log into instead of starting one."""

    experiment_id: str | None = None
    experiment_name: str | None = None
    adopt: str | None = None


@dataclass(frozen=True)
class StartRun:
    """Start the run `key`: below the run `parent` if there is one, else at `destination`.

    A `deferred` one starts when the first run below it does, if any does.
    """

    key: str
    name: str
    run_tags: Mapping[str, str]
    start_time: int
    destination: Destination
    parent: str | None = None
    deferred: bool = False


@dataclass(frozen=True)
class KnownRun:
    """The run `key` is there already: MLflow's id of it and of its experiment."""

    key: str
    run_id: str
    experiment_id: str


@dataclass(frozen=True)
class ImportAccount:
    """Record a finished training as the run `key`, unless its experiment holds it already."""

    key: str
    account: Account
    options: LogOptions
    destination: Destination
    parent: str | None = None


@dataclass(frozen=True)
class LogMetrics:
    """Values of metrics of the run `key`."""

    key: str
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True)
class LogParams:
    """Params of the run `key`."""

    key: str
    params: Mapping[str, str]


@dataclass(frozen=True)
class SetTags:
    """Tags of the run `key`."""

    key: str
    run_tags: Mapping[str, str]


@dataclass(frozen=True)
class Upload:
    """A file for the run `key`, into an artifact folder."""

    key: str
    file: Path
    folder: str


@dataclass(frozen=True)
class DrawPicture:
    """A picture of the sets whose files lie in `directory`, for the run `key`."""

    key: str
    directory: Path


@dataclass(frozen=True)
class LinkModel:
    """Register the checkpoint that stays in `directory` as an external model of the run `key`."""

    key: str
    name: str
    directory: Path
    params: Mapping[str, str]


@dataclass(frozen=True)
class EndRun:
    """The end of the run `key`."""

    key: str
    status: str
    end_time: int


Told = LogMetrics | LogParams | SetTags | Upload | DrawPicture | LinkModel | EndRun  # of a run that has started
Record = KnownRun | StartRun | ImportAccount | Told


# By the name that stands in journals, which outlives a class's.
_KINDS: Mapping[str, Any] = {
    "RecordAccount": ImportAccount,
    **{
        kind.__name__: kind
        for kind in (KnownRun, StartRun, LogMetrics, LogParams, SetTags, Upload, DrawPicture, LinkModel, EndRun)
    },
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_PATHS = ("file", "directory")
_ABOUT = (tags.RUN_ID, tags.BASE_MODEL, tags.TARGET_CLASSES)


@dataclass(frozen=True)
class Line:
    """A record and when it was said, in milliseconds since the epoch."""

    said: int
    record: Record


def write_line(record: Record, said: int, folder: Path) -> bytes:
    """A record as one line, for a journal in `folder`."""
    content: dict[str, Any] = {"said": said, "is": _NAMES[type(record)]}
    if isinstance(record, LogMetrics):  # one a step: as short and quick as it gets
        content |= {"key": record.key, "points": [[p.key, p.value, p.timestamp, p.step] for p in record.points]}
    elif isinstance(record, ImportAccount):
        content |= _account_content(record, folder)
    else:
        content |= _content(record)
        content |= {name: _relative(content[name], folder) for name in _PATHS if name in content}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def read_line(line: bytes, folder: Path) -> Line:
    """The record of one line.

    Raises:
        ValueError: If it is no such line, or only a part of one.
        GradiendMLflowError: If it names a finished training that cannot be read any more.
    """
    content = json.loads(line)
    try:
        said, kind = content.pop("said"), _KINDS[content.pop("is")]
        content |= {name: folder / content[name] for name in _PATHS if name in content}
        if kind is LogMetrics:
            content["points"] = tuple(MetricPoint(*point) for point in content["points"])
        elif kind is ImportAccount:
            content = _read_account(content, folder)
        if "destination" in content:
            content["destination"] = Destination(**content["destination"])
        return Line(said, kind(**content))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no record: {type(error).__name__}: {error}") from error


def _content(value: Any) -> dict[str, Any]:
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        name: _content(item) if isinstance(item, Destination) else dict(item) if isinstance(item, Mapping) else item
        for name, item in found.items()
    }


def _account_content(record: ImportAccount, folder: Path) -> dict[str, Any]:
    """Not what a finished training says, but where it says it."""
    account = record.account
    return {
        "key": record.key,
        "name": account.name,
        "about": {key: account.run_tags[key] for key in _ABOUT if key in account.run_tags},
        "directory": _relative(account.directory, folder),
        "experiment_dir": _relative(account.training.experiment_dir, folder),
        "options": _content(record.options) | {"parts": list(record.options.parts)},
        "destination": _content(record.destination),
        "parent": record.parent,
    }


def _read_account(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    model, experiment_dir = content["directory"].resolve(), (folder / content["experiment_dir"]).resolve()
    account = account_of(TrainingDirectory.of(model, experiment_dir), name=content["name"], about=content["about"])
    options = LogOptions(**content["options"])
    kept = {name: content[name] for name in ("key", "destination", "parent")}
    return {**kept, "account": account, "options": options}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)
