"""Checks of arguments that many functions take."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.untrusted import quoted

UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")  # PostgreSQL refuses NUL, and nothing takes half a surrogate pair
_LONGEST_EXPERIMENT = 500
Choice = TypeVar("Choice", bound=str)


def check_choice(name: str, value: str, choices: Sequence[Choice]) -> Choice:
    """Return `value` if it is one of `choices`; the error calls it `name`.

    Raises:
        InvalidInputError: If it is not.
    """
    for known in choices:
        if value == known:
            return known
    raise InvalidInputError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def check_int(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """Return `value` as an int if it is one between `least` and `most`, both included; the error calls it `name`.

    NumPy's integers are ints, a bool is not.

    Raises:
        InvalidInputError: If it is no int, or outside these bounds.
    """
    is_int = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_int or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidInputError(f"{name} must be an int {bounds}; got {value!r}")
    return int(value)


def check_names(**given: object) -> None:
    """Refuse what is neither a non-empty string nor None; the error calls each value by its keyword.

    Raises:
        InvalidInputError: If a value is neither.
    """
    for name, value in given.items():
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise InvalidInputError(f"{name} must be a non-empty string, or None for the default; got {value!r}")


def check_experiment(**given: object) -> None:
    """Refuse what cannot be the name of an experiment that MLflow makes, as `check_names` does.

    A training that nobody watches must not learn of it from its server.

    Raises:
        InvalidInputError: If a value is neither a name nor None, is longer than MLflow allows, or has characters that
            a database may refuse: NUL, and halves of surrogate pairs.
    """
    check_names(**given)
    for name, value in given.items():
        if not isinstance(value, str):
            continue
        if len(value) > _LONGEST_EXPERIMENT:
            raise InvalidInputError(
                f"{name} may have {_LONGEST_EXPERIMENT} characters, as experiments in MLflow; got {len(value)}: "
                f"{quoted(value)}"
            )
        if UNSTORABLE.search(value):
            raise InvalidInputError(
                f"{name} has characters that databases refuse, such as NUL: {quoted(value)}; leave them out"
            )


def check_flags(**given: object) -> None:
    """Accept True and False; the error calls each value by its keyword.

    Raises:
        InvalidInputError: If a value is neither.
    """
    for name, value in given.items():
        if not isinstance(value, bool):
            raise InvalidInputError(f"{name} must be True or False; got {value!r}")


def check_path(name: str, value: Any) -> None:
    """Accept a string or a PathLike of one that can be the path of something; the error calls it `name`.

    Raises:
        InvalidInputError: If it is something else, empty, or has a NUL in it.
    """
    path = value.__fspath__() if isinstance(value, PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidInputError(f"{name} must be a path; got {quoted(value)}")


def check_folder_of(name: str, path: str | PathLike[str]) -> Path:
    """Return `path`, with a ~ in it expanded, if a file can be written there; the error calls it `name`.

    A folder that is not there is not made: it is a slip of the pen more often than a wish.

    Raises:
        InvalidInputError: If it is no path, is a directory, or lies in a folder that is not there.
    """
    check_path(name, path)
    file = Path(path).expanduser()
    if not file.parent.is_dir():
        raise InvalidInputError(f"{name} lies in a folder that is not there: {str(file.parent)!r}; make it first")
    if file.is_dir():
        raise InvalidInputError(f"{name} must be a file; {str(file)!r} is a folder")
    return file


def existing_directory(path: str | PathLike[str], command: str) -> Path:
    """Return `path` as an absolute path; the error says that `command` needs a directory.

    Raises:
        InvalidInputError: If it is not an existing directory.
    """
    if not isinstance(path, (str, PathLike)) or not str(path):
        raise InvalidInputError(f"{command} needs a directory; got {path!r}")
    root = Path(path).absolute()
    if not os.path.isdir(root):  # noqa: PTH112  # which answers also for a path that is too long
        is_file = os.path.exists(root)  # noqa: PTH110
        raise InvalidInputError(f"{command} needs a directory; {root} is {'a file' if is_file else 'not there'}")
    return root
