"""Which cases of a test are tried on every change; `make test` tries all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *, first: int | None = None, every: int | None = None) -> list[Any]:
    """The cases, of which those are marked `long` that are neither among the first nor every n-th.

    The order of the cases decides what is always tried, so put those first that are unlike each other.

    Args:
        cases: As for `pytest.mark.parametrize`; a tuple is the values of several arguments.
        first: How many of the first are quick.
        every: Of which steps the rest are.

    Example:
        >>> [[mark.name for mark in case.marks] for case in quick("abc", every=2)]
        [[], ['long'], []]
    """
    return [
        _case(case, quick=(first is not None and number < first) or (every is not None and number % every == 0))
        for number, case in enumerate(cases)
    ]


def _case(case: Any, *, quick: bool) -> Any:
    values: Collection[Any] = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=() if quick else pytest.mark.long)
