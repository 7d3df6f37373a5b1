"""Answers that come in pages, which a server may number without an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gradiend_mlflow.display.progress import with_progress
from gradiend_mlflow.errors import StoreError

_MOST_PAGES = 1000


def all_pages(
    page_after: Callable[[str | None], Any], most: int | None = None, *, progress: bool | None = False
) -> list[Any]:
    """All items on all pages; at least the first `most`, if there are that many.

    Raises:
        StoreError: If the pages do not come to an end.
    """
    found = with_progress(pages(page_after, most), "search", "page", show=progress)
    return [item for page in found for item in page]


def pages(page_after: Callable[[str | None], Any], most: int | None = None) -> Iterator[Any]:
    """Page after page, for a caller who need not hold all items at once; else as `all_pages`."""
    found = 0
    token: str | None = None
    seen: set[str] = set()
    while True:
        page = page_after(token)
        yield page
        found += len(page)
        token = page.token
        if not token or (most is not None and found >= most):
            return
        if token in seen or not page or len(seen) == _MOST_PAGES:
            raise StoreError(f"its answer has no end: after {len(seen) + 1} pages it still names another")
        seen.add(token)
