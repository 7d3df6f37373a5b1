"""Records: what a training logs, as plain values that can wait in a queue or be written into a journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import cast

from gradiend_mlflow.store.current import active_run_id, chosen_experiment
from gradiend_mlflow.store.models.logged import RunModel
from gradiend_mlflow.store.store import DataInput, MetricPoint
from gradiend_mlflow.trainings.account import Account
from gradiend_mlflow.trainings.options import LogOptions


@dataclass(frozen=True)
class Destination:
    """The experiment of a new run; or, as `adopt`, the id of the user's active run, which is logged into instead.

    `views`: whether the experiment gets its saved views.
    """

    experiment_id: str | None = None
    experiment_name: str | None = None
    adopt: str | None = None
    views: bool = True

    @classmethod
    def now(cls, options: LogOptions) -> Destination:
        """Where a run that starts now, in this thread, goes."""
        experiment_id, chosen_name = chosen_experiment(options.tracking_uri)
        adopt = active_run_id(options.tracking_uri)
        return cls(experiment_id, options.experiment_name or chosen_name, adopt, options.views)


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
class LeftAccount(Record):
    """The same as a journal says it: where the training lies, not what its files say."""

    name: str
    about: Mapping[str, str]
    directory: Path
    experiment_dir: Path
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
class Describe(Record):
    """Set the run's description, unless its owner has written one; MLflow's ids are filled in when it is sent."""

    description: str


@dataclass(frozen=True)
class LogInputs(Record):
    """Log data that the run `key` has used."""

    inputs: tuple[DataInput, ...]


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
    """Make the checkpoint in `directory` the model of the run `key`; if `copied`, with its files.

    `points` are metrics of the run that say how good it is; `registered_as` is a registered model that it becomes a
    version of.
    """

    name: str
    directory: Path
    params: Mapping[str, str]
    points: tuple[MetricPoint, ...] = ()
    base_model: str | None = None
    copied: bool = False
    registered_as: str | None = None

    def model(self) -> RunModel:
        """The model, apart from the run's metrics."""
        return RunModel(self.name, self.directory, self.params, self.base_model, self.copied, self.registered_as)


@dataclass(frozen=True)
class EndRun(Record):
    """End the run `key`."""

    status: str
    end_time: int


_TOGETHER = 10_000  # metric values


def join_metrics(records: Iterable[Record]) -> Iterator[Record]:
    """The records in order; consecutive metrics records of one run become one, until it has 10,000 values."""
    for (key, are_metrics), group in groupby(records, lambda record: (record.key, isinstance(record, LogMetrics))):
        if not are_metrics:
            yield from group
            continue
        points: list[MetricPoint] = []
        for record in cast(Iterator[LogMetrics], group):
            points += record.points
            if len(points) >= _TOGETHER:
                yield LogMetrics(key, tuple(points))
                points = []
        if points:
            yield LogMetrics(key, tuple(points))
