"""Writing to MLflow by explicit run ids: no active run, tracking URI or environment variable is touched."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils import chunk_list

from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.disk.trees import files_in
from gradiend_mlflow.errors import StoreError, logger
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import fitting_tags, shortened_param
from gradiend_mlflow.store.models.locations import check_model_uri, location_of
from gradiend_mlflow.store.models.logged import RunModel, log_model
from gradiend_mlflow.store.places.downloads import download_folder
from gradiend_mlflow.store.reader import Reader
from gradiend_mlflow.store.ui.views import tags_of_views
from gradiend_mlflow.untrusted import quoted
from gradiend_mlflow.wording import some_of

_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_INPUTS_PER_BATCH = 1000
_RUN_IS_DELETED = "Current state is deleted"
_NOT_IN_ARTIFACT_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # as journals know them

_with_views: set[tuple[str, str]] = set()  # experiments that are known to have got theirs, by server

T = TypeVar("T")


def now_ms() -> int:
    """The current time in milliseconds since the epoch, as MLflow counts it."""
    return int(time.time() * 1000)


class MetricPoint(NamedTuple):
    """One value of one metric; `timestamp` in milliseconds since the epoch."""

    key: str
    value: float
    timestamp: int
    step: int


class DataInput(NamedTuple):
    """Data that a run has used, as MLflow's datasets are written: `schema`, `source` and `profile` are JSON.

    A `digest` has at most 36 characters, and a `name` 500. The `context` says what for: a split, such as "train".
    """

    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    context: str


def code_source() -> dict[str, Any]:
    """Data that a program has made, as MLflow's sources of the type "code" are written: who ran which program."""
    return {"tags": resolve_tags()}


class Store(Reader):
    """Reads from a server or a database, which is created if need be, and writes to it; else as `Reader`."""

    creates = True

    def experiment_id(self, name: str) -> str:
        """The id of the experiment of this name; if there is none, it is created as one for model training.

        Raises:
            StoreError: If it is deleted, besides the errors of every method.
        """
        with self._asking(f"find or create the experiment {name!r}"):
            found = self._client.get_experiment_by_name(name)
            if found is None:
                try:
                    return str(
                        self._client.create_experiment(name, tags={tags.MLFLOW_EXPERIMENT_KIND: tags.MODEL_TRAINING})
                    )
                except MlflowException:
                    found = self._client.get_experiment_by_name(name)
                    if found is None:  # else another process has created it in the meantime
                        raise
            self.refuse_deleted(found)
            return str(found.experiment_id)

    def experiment_name(self, experiment_id: str) -> str:
        """The name of an experiment."""
        with self._asking(f"find the experiment {experiment_id}"):
            return str(self._client.get_experiment(experiment_id).name)

    def add_views(self, experiment_id: str) -> None:
        """Give an experiment its saved views, once; a server that refuses them only lacks them."""
        if (self.uri, experiment_id) in _with_views:
            return
        try:
            with self._asking(f"save views in the experiment {experiment_id}"):
                existing = self._client.get_experiment(experiment_id).tags
                for key, value in tags_of_views(existing, now_ms()).items():
                    self._client.set_experiment_tag(experiment_id, key, value)
        except StoreError as error:
            logger.debug("No saved views: %s", error)
        else:
            _with_views.add((self.uri, experiment_id))

    def create_run(
        self, experiment_id: str, *, name: str, run_tags: Mapping[str, str], start_time: int | None = None
    ) -> str:
        """Start a run and return its id; MLflow's tags for user and source are added, as by MLflow's own API."""
        with self._asking(f"create the run {name!r}"):
            try:
                run = self._client.create_run(
                    experiment_id, run_name=name, tags=resolve_tags(fitting_tags(run_tags)), start_time=start_time
                )
            except MlflowException as error:
                if not self.retries.may_pass(error):  # MLflow does not say what to do about a deleted experiment
                    self.check_not_deleted(id=experiment_id)
                raise
            if not _RUN_ID.fullmatch(run_id := str(run.info.run_id)):
                raise StoreError(f"MLflow at {self.shown_uri} calls a new run {quoted(run_id)}, which is no id")
            return run_id

    def log_metrics(self, run_id: str, points: Iterable[MetricPoint]) -> list[MetricPoint]:
        """Log metric values, in as few requests as the server allows.

        Returns:
            The points that MLflow refused.
        """
        with self._asking(f"log metrics to the run {run_id}"):
            return _send_in_batches(
                points,
                _METRICS_PER_BATCH,
                lambda batch: self._client.log_batch(run_id, metrics=[Metric(*point) for point in batch]),
            )

    def log_params(self, run_id: str, params: Mapping[str, str]) -> list[str]:
        """Log params; values that are too long are cut.

        Returns:
            The names of those that MLflow refused: the run already has them with another value.
        """
        fitting = [Param(key, shortened_param(value)) for key, value in params.items()]
        with self._asking(f"log params to the run {run_id}"):
            refused = _send_in_batches(
                fitting, _PARAMS_PER_BATCH, lambda batch: self._client.log_batch(run_id, params=batch)
            )
        return [param.key for param in refused]

    def set_tags(self, run_id: str, run_tags: Mapping[str, str]) -> None:
        """Set tags of a run; they replace those with the same names."""
        with self._asking(f"set tags on the run {run_id}"):
            fitting = [RunTag(key, value) for key, value in fitting_tags(run_tags).items()]
            for batch in chunk_list(fitting, _PARAMS_PER_BATCH):
                self._client.log_batch(run_id, tags=batch)

    def log_inputs(self, run_id: str, inputs: Iterable[DataInput]) -> None:
        """Log data that a run has used; those that it has already are not logged twice."""
        used = [
            DatasetInput(
                Dataset(one.name, one.digest, one.source_type, one.source, schema=one.schema, profile=one.profile),
                [InputTag(tags.DATASET_CONTEXT, one.context)],
            )
            for one in inputs
        ]
        with self._asking(f"log the data of the run {run_id}"):
            for batch in chunk_list(used, _INPUTS_PER_BATCH):
                _send_in_spite_of_others(batch, lambda new: self._client.log_inputs(run_id, new))

    def upload(self, run_id: str, file: Path, folder: str | None, *, root: Path | None = None) -> None:
        """Log a file, or the files of a directory, as artifacts in a folder of the run; None is the top folder.

        Characters of a file's name that MLflow would silently corrupt become underscores. In a directory, links that
        lead out of `root` (default: out of the directory itself) are left out, and so is what is not a regular file;
        a warning names them.
        """
        with self._asking(f"upload {file.name} to the run {run_id}"):
            if file.is_dir():
                self._upload_directory(run_id, file, folder, root or file)
            else:
                with _named_for_mlflow(file) as safe:
                    self._client.log_artifact(run_id, str(safe), folder)

    def _upload_directory(self, run_id: str, directory: Path, folder: str | None, root: Path) -> None:
        files, left_out = files_in(directory, root)
        if not left_out:
            self._client.log_artifacts(run_id, str(directory), folder)
            return
        for file in files:
            below = file.parent.relative_to(directory).as_posix()
            into = "/".join(part for part in (folder, below) if part and part != ".")
            with _named_for_mlflow(file) as safe:
                self._client.log_artifact(run_id, str(safe), into or None)
        logger.warning(
            "Not uploaded with %s, because they are no regular files in %s: %s",
            directory,
            root,
            ", ".join(some_of([str(path) for path in left_out])),
        )

    def log_image(self, run_id: str, image: Any, key: str) -> None:
        """Log a PIL image under a key; the UI shows the images of several runs with the same key side by side."""
        with self._asking(f"log the image {key} to the run {run_id}"):
            self._client.log_image(run_id, image, key=key, step=0, synchronous=True)

    def log_model(
        self,
        run_id: str,
        experiment_id: str,
        model: RunModel,
        points: Iterable[MetricPoint] = (),
        *,
        root: Path | None = None,
    ) -> str:
        """Log a checkpoint as the model of a run, and return the model's id.

        The points are metrics of the run that say how good it is; they must be exactly as the run has them. Links in
        its directory that lead out of `root` (default: out of the directory itself) are left out, and named.
        """
        with self._asking(f"log {model.directory} as a model of the run {run_id}"):
            model_id = log_model(self._client, run_id, experiment_id, model, root or model.directory)
            if own := [Metric(*point, model_id=model_id) for point in points]:
                self._client.log_batch(run_id, metrics=own)
            return model_id

    def download_model(self, model_uri: str, folder: Path) -> Path:
        """Download the files of a logged model into a folder; returns where they are.

        Raises:
            InvalidInputError: If it is no address of a model.
        """
        check_model_uri(model_uri)
        with self._asking(f"download the model {quoted(model_uri)}"):
            location = location_of(self._client, model_uri)
            return download_folder(location, folder, tracking_uri=self.uri, retries=self.retries)

    def end_run(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """End a run with the status FINISHED, FAILED or KILLED, by default now."""
        with self._asking(f"end the run {run_id}"):
            # MLflow's public function prints a link with the password of the address, a hundred of them in an import.
            tracking = self._client._tracking_client  # noqa: SLF001
            tracking.store.update_run_info(run_id, RunStatus.from_string(status), end_time or now_ms(), None)


@contextlib.contextmanager
def _named_for_mlflow(file: Path) -> Iterator[Path]:
    """The file within the block, or a copy of it if MLflow would corrupt its name."""
    name = _NOT_IN_ARTIFACT_NAMES.sub("_", file.name)
    if name == file.name:
        yield file
        return
    with temporary_folder() as folder:
        yield Path(shutil.copy2(file, folder / name))


def _send_in_spite_of_others(items: list[T], send: Callable[[list[T]], object]) -> None:
    """Send what other runs may send at this moment: of equal items MLflow refuses the later, until asked again."""
    for left in range(len(items), -1, -1):
        try:
            send(items)
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST" or not left:  # as MLflow tells what its database refuses
                raise
        else:
            return


def _send_in_batches(items: Iterable[T], size: int, send: Callable[[list[T]], object]) -> list[T]:
    """Send values, `size` in a request; returns those that MLflow refuses."""
    return [refused for batch in chunk_list(list(items), size) for refused in _send_batch(batch, send)]


def _send_batch(batch: list[T], send: Callable[[list[T]], object]) -> list[T]:
    """Send values in one request; one bad value makes MLflow refuse all, and is found in ever smaller halves."""
    try:
        send(batch)
    except MlflowException as error:
        # A run that was deleted refuses everything, which is not the fault of the values.
        if error.error_code != "INVALID_PARAMETER_VALUE" or _RUN_IS_DELETED in str(error):
            raise
        if len(batch) == 1:
            return batch
        half = len(batch) // 2
        return _send_batch(batch[:half], send) + _send_batch(batch[half:], send)
    return []
