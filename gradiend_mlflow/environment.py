"""Checked environment variables, and the versions of installed packages."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from gradiend_mlflow.errors import InvalidInputError


def positive_number(variable: str, *, default: float, unit: str) -> float:
    """The number in an environment variable, or the default if it is unset or empty.

    Raises:
        InvalidInputError: If the value is not a finite number above 0; the message names the variable.
    """
    text = os.environ.get(variable, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise InvalidInputError(f"{variable} must be a number of {unit} above 0; it is {text!r}")
    return number


@cache
def installed_version(distribution: str) -> str:
    """The version of an installed distribution, or "unknown"."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


__version__ = installed_version("gradiend-mlflow")
