"""Checks of arguments that are about no one thing."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

from gradiend_mlflow.errors import InvalidInputError

Choice = TypeVar("Choice", bound=str)


def check_choice(name: str, value: str, choices: Sequence[Choice]) -> Choice:
    """Return `value` if it is one of `choices`; `name` is what the error calls it.

    Raises:
        InvalidInputError: If it is not.
    """
    for known in choices:
        if value == known:
            return known
    raise InvalidInputError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def check_names(**given: object) -> None:
    """Refuse what is neither a text with something in it nor None; the keywords are what the error calls them.

    Raises:
        InvalidInputError: If one is not acceptable.
    """
    for name, value in given.items():
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise InvalidInputError(f"{name} must be a text, or None for the default; got {value!r}")


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
