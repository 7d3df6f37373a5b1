"""Records as lines of JSON and back: what a journal is written in.

Files are named relative to the journal's folder, so that an experiment directory can be moved with its journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gradiend_mlflow import records, tags
from gradiend_mlflow.directories import TrainingDirectory
from gradiend_mlflow.finished import account_of
from gradiend_mlflow.options import LogOptions
from gradiend_mlflow.records import Destination, LogMetrics, Record, RecordAccount
from gradiend_mlflow.store import MetricPoint

_KINDS: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(records.KnownRun, records.StartRun, RecordAccount, LogMetrics, records.LogParams, records.SetTags),
        *(records.Upload, records.DrawPicture, records.LinkModel, records.EndRun),
    )
}
_PATHS = ("file", "directory")
_ABOUT = (tags.RUN_ID, tags.BASE_MODEL, tags.TARGET_CLASSES)


@dataclass(frozen=True)
class Line:
    """A record and when it was said, in milliseconds since the epoch."""

    said: int
    record: Record


def write_line(record: Record, said: int, folder: Path) -> bytes:
    """A record as one line, for a journal in `folder`."""
    content: dict[str, Any] = {"said": said, "is": type(record).__name__}
    if isinstance(record, LogMetrics):  # one a step: as short and quick as it gets
        content |= {"key": record.key, "points": [[p.key, p.value, p.timestamp, p.step] for p in record.points]}
    elif isinstance(record, RecordAccount):
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
        elif kind is RecordAccount:
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


def _account_content(record: RecordAccount, folder: Path) -> dict[str, Any]:
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
