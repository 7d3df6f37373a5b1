"""Every error that this package raises on purpose, and the logger that reports what it does not raise."""

from __future__ import annotations

import logging

from gradiend_mlflow.wording import visible

logger = logging.getLogger("gradiend_mlflow")


def _shown(record: logging.LogRecord) -> bool:
    """Names and texts that others wrote come into log lines, too."""
    record.msg, record.args = visible(record.getMessage(), lines=True), None
    return True


logger.addFilter(_shown)


class GradiendMLflowError(Exception):
    """Base class: catch this to catch whatever this package raises on purpose.

    Its text has no control characters, whatever it quotes; line breaks are kept.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(visible(one, lines=True) if isinstance(one, str) else one for one in args))


class InvalidInputError(GradiendMLflowError, ValueError):
    """An argument is not of the form that the function takes; the text says what came and what was wanted."""


class CheckpointError(GradiendMLflowError):
    """A GRADIEND checkpoint or model cannot be read, or lacks what was asked of it."""


class MissingPartError(CheckpointError):
    """A GRADIEND does not have the part that was asked for."""


class ArtifactError(GradiendMLflowError):
    """A top-k file is not what its format promises; the text names the file and the fault."""


class SpaceConflictError(GradiendMLflowError):
    """Two sets name the same parameter with different shapes, so their weights cannot be matched."""


class StoreError(GradiendMLflowError):
    """MLflow could not be reached, refused, or does not have what was asked for."""


class SkippedRunsError(GradiendMLflowError):
    """A strict comparison would have to leave out runs; the text names them with the reason, up to 20."""


class UnavailableError(StoreError):
    """MLflow cannot be reached, or cannot answer at the moment; the same request may work later.

    `place` is the artifact store if it is that one, and MLflow answers; else it is empty.
    """

    def __init__(self, *args: object, place: str = "") -> None:
        super().__init__(*args)
        self.place = place


class DeniedError(StoreError):
    """MLflow, or its artifact store, does not know the account, or does not let it do what was asked."""
