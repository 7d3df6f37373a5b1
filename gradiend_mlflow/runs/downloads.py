"""Many files at once, of which a bad one holds up no good one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from gradiend_mlflow.errors import GradiendMLflowError, StoreError, UnavailableError
from gradiend_mlflow.runs.search import PARALLEL_REQUESTS, result_or_error
from gradiend_mlflow.store.retries import Haste

_AHEAD = 4 * PARALLEL_REQUESTS  # files that wait in memory for who asked for them
# Each file is first asked for in haste, so that those that fail wait until all others are here. A server that has
# sent one file is believed if it says that it cannot send another; one that has not is waited for.
_FIRST = Haste(tries=3, share=1 / 3)
_AGAIN = Haste(tries=3, faults_only=True)


@dataclass(frozen=True)
class SetFile:
    """Where a run's set lies, its digest, and how many bytes it may have."""

    artifact_uri: str
    path: str
    sha256: str
    most: int


def download_all(
    files: Sequence[SetFile], fetch: Callable[[SetFile, Haste | None], bytes]
) -> Iterator[tuple[int, bytes | GradiendMLflowError]]:
    """The place of each file in the sequence with its content, or why it has none; first come, first served.

    An `UnavailableError` is the fault of the server: no file has come from it. If some have, a file that the server
    cannot send has a fault of its own, a `StoreError`.
    """
    failed = []
    some_came = False
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        for place, content in _each(pool, files, range(len(files)), fetch, _FIRST):
            some_came = some_came or isinstance(content, bytes)
            if isinstance(content, UnavailableError):
                failed.append(place)
            else:
                yield place, content
        for place, content in _each(pool, files, failed, fetch, _AGAIN if some_came else None):
            if some_came and isinstance(content, UnavailableError):
                content = StoreError(f"{content}. Other files come, so this one may be gone")  # noqa: PLW2901
            yield place, content


def _each(
    pool: ThreadPoolExecutor,
    files: Sequence[SetFile],
    places: Sequence[int],
    fetch: Callable[[SetFile, Haste | None], bytes],
    haste: Haste | None,
) -> Iterator[tuple[int, bytes | GradiendMLflowError]]:
    """As `download_all`, without a second try; few at a time, because what waits needs memory."""
    done: SimpleQueue[Future[bytes | GradiendMLflowError]] = SimpleQueue()
    waiting: dict[Future[bytes | GradiendMLflowError], int] = {}
    left = deque(places)
    while left or waiting:
        while left and len(waiting) < _AHEAD:
            future = pool.submit(result_or_error, fetch, files[left[0]], haste)
            waiting[future] = left.popleft()
            future.add_done_callback(done.put)
        first = done.get()
        yield waiting.pop(first), first.result()
