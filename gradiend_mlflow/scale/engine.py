"""Dask, which computes on this machine or on many: the client that is asked, and what becomes of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gradiend_mlflow.display.progress import with_progress
from gradiend_mlflow.errors import GradiendMLflowError, InvalidInputError


@contextmanager
def dask_client(client: Any | None) -> Iterator[Any]:
    """The given client, else Dask's current one, else one of threads in this process for as long as the block runs.

    Raises:
        GradiendMLflowError: If Dask is not installed.
        InvalidInputError: If `client` is something else.
    """
    distributed = _distributed()
    if client is not None and not isinstance(client, distributed.Client):
        raise InvalidInputError(f"client must be a dask.distributed.Client; got {type(client).__name__}")
    try:
        chosen = client or distributed.default_client()
    except ValueError:  # there is none
        chosen = None
    if chosen is not None:
        yield chosen
        return
    with distributed.Client(processes=False, dashboard_address=":0") as own:
        yield own


def results_of(futures: Sequence[Any], what: str, *, progress: bool | None) -> Iterator[Any]:
    """What tasks return, in the order in which they are done; if one fails, those that wait are given up.

    Raises:
        GradiendMLflowError: If Dask's processes die of a task.
        Exception: What a task has raised.
    """
    distributed = _distributed()
    done = distributed.as_completed(futures)
    try:
        for future in with_progress(done, what, "block", show=progress, total=len(futures)):
            yield future.result()
            future.release()
    except distributed.KilledWorker as error:
        raise GradiendMLflowError(
            f"Dask's workers died several times, probably of too little memory: {error}. Blocks that are done are "
            "kept; a smaller block_size, or workers of more memory, may do the rest"
        ) from error
    finally:
        if futures:
            futures[0].client.cancel(futures)


def _distributed() -> Any:
    try:
        import dask.distributed
    except ImportError as error:
        raise GradiendMLflowError(
            f'more runs than one process holds are compared by Dask: pip install "gradiend-mlflow[scale]" ({error})'
        ) from None
    return dask.distributed
