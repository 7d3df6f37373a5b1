"""How far work has come that takes a while: a bar on stderr, or in a notebook's cell."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sized
from importlib.util import find_spec
from typing import Any, TypeVar

from gradiend_mlflow.errors import InvalidInputError

Item = TypeVar("Item")

_AFTER = 1.0  # seconds; what is done by then needs no bar


def with_progress(
    items: Iterable[Item], what: str, unit: str, *, show: bool | None = None, total: int | None = None
) -> Iterator[Item]:
    """The items, with a bar that counts them as they are taken, from a second on; it goes with the last one.

    Args:
        items: What is worked on.
        what: What is done with them, such as "import".
        unit: What each is, in the singular.
        show: Whether there is a bar; None for one where people see it: in a terminal or a notebook.
        total: How many there are, if `items` has no length.

    Raises:
        InvalidInputError: If `show` is neither None nor True nor False.

    Example:
        >>> list(with_progress(["a", "b"], "search", "run", show=False))
        ['a', 'b']
    """
    check_progress(show)
    if total is None and isinstance(items, Sized):
        total = len(items)
    if not (_is_seen() if show is None else show):
        return iter(items)  # without tqdm, which begins a thread for every bar, also for one that it does not show
    return iter(_tqdm()(items, desc=what, unit=unit, total=total, delay=_AFTER, leave=False))


def check_progress(show: object) -> None:
    """Accept what the argument `progress` may be.

    Raises:
        InvalidInputError: If it is neither None nor True nor False.
    """
    if show is not None and not isinstance(show, bool):
        raise InvalidInputError(f"progress must be True or False, or None for a bar where people see it; got {show!r}")


def _is_seen() -> bool:
    """Whether stderr is a terminal, or this is a notebook that has widgets: bars of text would stay in its file."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    # A module that is being imported by another thread is there, and empty.
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_shell is None else get_shell()
    return "IPKernelApp" in getattr(shell, "config", ()) and find_spec("ipywidgets") is not None


def _tqdm() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a notebook has no widgets: then the bar is of text
        from tqdm.auto import tqdm
    return tqdm
