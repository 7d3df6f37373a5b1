"""What `import_runs` and `sync` have in common: a directory to look into, and a row for what became of each find."""

from __future__ import annotations

import logging
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from gradiend_mlflow.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("gradiend_mlflow")


def existing_directory(path: str | PathLike[str], command: str) -> Path:
    """`path` as an absolute path.

    Raises:
        InvalidInputError: If it is no directory; names `command`.
    """
    if not isinstance(path, (str, PathLike)) or not str(path):
        raise InvalidInputError(f"{command} needs a directory; got {path!r}")
    root = Path(path).absolute()
    if not root.is_dir():
        raise InvalidInputError(f"{command} needs a directory; {root} is {'a file' if root.exists() else 'not there'}")
    return root


def tell_failures(frame: pd.DataFrame, fault: str) -> list[str]:
    """Warn of every row that failed, and return a line on each, for an error.

    Args:
        frame: With the columns directory, result and reason.
        fault: What is to be said of those that failed, such as "could not be imported".
    """
    failed = frame[frame["result"] == "failed"]
    for row in failed.itertuples():
        logger.warning("%s %s: %s", row.directory, fault, row.reason)
    return [f"  {row.directory}: {row.reason}" for row in failed.itertuples()]
