"""What can be said of a run: plain values, so that they can wait, be sent later or be written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gradiend_mlflow.finished import Account
from gradiend_mlflow.options import LogOptions
from gradiend_mlflow.store import MetricPoint


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
class RecordAccount:
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
Record = KnownRun | StartRun | RecordAccount | Told
