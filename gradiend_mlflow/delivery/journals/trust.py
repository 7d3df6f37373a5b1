"""What a journal may ask for: it may have been written by anybody, and is sent with the user's own access."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gradiend_mlflow.delivery.journals.journal import Header, LeftJournal
from gradiend_mlflow.delivery.journals.records import (
    Destination,
    DrawPicture,
    ImportAccount,
    KnownRun,
    LeftAccount,
    LinkModel,
    Record,
    StartRun,
    Upload,
)
from gradiend_mlflow.disk.trees import is_inside
from gradiend_mlflow.errors import GradiendMLflowError, StoreError, UnavailableError, logger
from gradiend_mlflow.sets.parts import PARTS
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.current import configured_uri
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.store.uris import kept_uri, sync_command
from gradiend_mlflow.trainings.account import account_of
from gradiend_mlflow.trainings.directories import WEIGHTS, TrainingDirectory
from gradiend_mlflow.untrusted import quoted

_NOWHERE = Destination()


def server_of(journal: LeftJournal, header: Header, given: str | None) -> str:
    """The URI of the server that a journal is sent to: the one that the user has given, or has configured.

    Raises:
        StoreError: If none is given, and the journal names another than MLflow is configured for; it says what to do.
    """
    uri = given or configured_uri(header.tracking_uri)
    if uri is None:
        raise StoreError(
            f"it says that its training logged to {header.shown_uri}, which is not the server that MLflow is "
            f"configured for here; if that is where it shall go: "
            f"{sync_command(journal.experiment_dir, header.shown_uri)}"
        )
    return uri


@dataclass(frozen=True)
class Terms:
    """On which terms the records of one journal are sent.

    Attributes:
        journal: The journal.
        root: The directory that the user has named: nothing outside is sent.
        store: Where the records go.
        experiment_name: The experiment of runs whose own is not known on that server; None: these are refused.
        names: The names of experiments by the ids that they have where the training logged.
        is_elsewhere: Whether that is another server.
    """

    journal: LeftJournal
    root: Path
    store: Store
    experiment_name: str | None
    names: Mapping[str, str]
    is_elsewhere: bool

    @staticmethod
    def of(journal: LeftJournal, header: Header, root: Path, store: Store, experiment_name: str | None) -> Terms:
        """The terms for a journal that is sent to a store."""
        is_elsewhere = kept_uri(store.uri).rstrip("/") != header.tracking_uri.rstrip("/")
        return Terms(journal, root, store, experiment_name, journal.experiments(), is_elsewhere)

    def admitted(self, record: Record) -> Record:
        """The record as it may be sent.

        Raises:
            GradiendMLflowError: If it may not; it says why. An `UnavailableError` if the server has to be asked first.
        """
        match record:
            case Upload():
                return replace(record, file=self._file(record))
            case DrawPicture():
                for part in PARTS:
                    if os.path.lexists(file := record.directory / f"{part}.parquet"):
                        self._check_own(file)
            case LinkModel():
                return self._model(record)
            case LeftAccount():
                return self._account(record)
            case KnownRun():
                self._check_known(record)
            case StartRun():
                return replace(record, destination=self._aimed(record.key, record.destination))
        return record

    # ---------------------------------------------------------------------------------------------------------- files

    def _file(self, record: Upload) -> Path:
        """A journal's own copy may be sent; and a model, which is not copied, from where it lies."""
        if record.folder != tags.MODEL_FOLDER or not record.file.is_dir():
            self._check_own(record.file)
            return record.file
        model = self._below_root(record.file)
        if not any((model / name).is_file() for name in WEIGHTS):
            raise GradiendMLflowError(f"{model} is not sent: it holds no model")
        return model

    def _model(self, record: LinkModel) -> LinkModel:
        """A model that lies in the root is logged, but not registered: by its name others may use a version of it."""
        directory = self._below_root(record.directory)
        if record.copied and not any((directory / name).is_file() for name in WEIGHTS):
            raise GradiendMLflowError(f"{directory} is not sent: it holds no model")
        if record.registered_as is not None:
            logger.warning(
                "The model in %s is logged, but not registered as %s, which only you can ask for: log_model(..., "
                "registered_model_name=...) or mlflow.register_model",
                directory,
                quoted(record.registered_as),
            )
        return replace(record, directory=directory, registered_as=None)

    def _check_own(self, file: Path) -> None:
        own = os.path.realpath(self.journal.folder)
        is_own = Path(os.path.realpath(file)).is_relative_to(own)  # also if it does not exist any more
        if not is_own or (os.path.lexists(file) and not file.is_file()):
            raise GradiendMLflowError(f"{file} is not sent: it is no file of the journal's own")
        if file.is_file() and file.stat().st_nlink > 1:
            raise GradiendMLflowError(
                f"{file} is not sent: it has another name elsewhere (a hard link), so it may be another file; if it "
                "is the training's, put a copy in its place"
            )

    def _below_root(self, directory: Path) -> Path:
        if not is_inside(directory, self.root):
            raise GradiendMLflowError(
                f"{os.path.realpath(directory)} is not there, or does not lie in {self.root}; if it is the "
                "training's, sync a directory above both"
            )
        return directory.resolve()

    def _account(self, record: LeftAccount) -> ImportAccount:
        directory, around = self._below_root(record.directory), self._below_root(record.experiment_dir)
        training = TrainingDirectory.of(directory, around, self.root)
        account = account_of(training, name=record.name, about=record.about)
        destination = self._aimed(record.key, record.destination)
        return ImportAccount(record.key, account, record.options, destination, record.parent)

    # ----------------------------------------------------------------------------------------------------------- runs

    def _check_known(self, record: KnownRun) -> None:
        """A run that exists is written to if it carries our key, or says that it is of this experiment directory."""
        run_tags = self.store.run(record.run_id).tags
        if not (tags.carries_key(run_tags, record.key) or self._is_beside(Path(run_tags.get(tags.DIRECTORY, os.sep)))):
            raise StoreError(
                f"the run {record.run_id} carries neither the key of this journal ({tags.KEY}) nor the directory of "
                f"its training ({tags.DIRECTORY}), so nothing is written to it"
            )

    def _is_beside(self, directory: Path) -> bool:
        """Whether a training's directory lies beside the journal, and belongs to the user who has written that."""
        around = self.journal.experiment_dir.resolve()
        if not directory.is_relative_to(around):
            return False
        owned = directory if directory.exists() else around
        return owned.stat().st_uid == self.journal.file.stat().st_uid

    def _aimed(self, key: str, to: Destination) -> Destination:
        """Where a run goes: as the training chose, by name where ids mean something else."""
        if not self.is_elsewhere or to == _NOWHERE or self._is_there(key, to):
            return to
        name = to.experiment_name or self.names.get(to.experiment_id or "") or self.experiment_name
        if name is not None:
            return Destination(experiment_name=name)
        chosen = f"the experiment {to.experiment_id}" if to.adopt is None else f"the run {to.adopt}"
        raise StoreError(
            f"the training logged to {chosen}, by an id that means something else on {self.store.shown_uri}; name the "
            "experiment that it shall go to: --experiment-name NAME (in Python experiment_name=...)"
        )

    def _is_there(self, key: str, to: Destination) -> bool:
        """Whether the run has been started on this server, which is then the training's own by another address."""
        try:
            if to.adopt is not None:
                return tags.carries_key(self.store.run(to.adopt).tags, key)
            by_id = to.experiment_name is None and to.experiment_id is not None
            return by_id and self.store.run_of_key(str(to.experiment_id), key) is not None
        except UnavailableError:
            raise
        except StoreError:
            return False
