"""Databases that are read without a server: how long they may take to answer, and how often they are asked.

By itself MLflow tries to open a database for 100 seconds, and lets a driver wait for a connection or an answer without
an end. Here PostgreSQL is told to give a statement up in time; on a database that does not even do that, one that has
stopped or is cut off, we hang up. Connections that the user's own calls have opened may serve ours, so that each limit
is one of a statement and not of its connection.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

from gradiend_mlflow.store.retries import current_retries

_SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mssql")
# What drivers call the seconds for a connection. That of sqlite is for a lock, for which MLflow has its own.
_TIMEOUTS = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout", "pymysql": "connect_timeout"}
_LEAST_SECONDS = 2  # less is not possible with libpq
# All ways in which SQLAlchemy waits for an answer on a connection that is open.
_WAITS = ("do_ping", "do_execute", "do_execute_no_params", "do_executemany", "do_commit", "do_rollback")
_GRACE = 1.0  # seconds that a database has to say that it gives a statement up
_GOODBYE = "do_rollback"  # after a fault, which its answer does not undo
_GOODBYE_SECONDS = 2.0


def is_database(uri: str) -> bool:
    """Whether a tracking URI is that of a database."""
    return uri.partition(":")[0].partition("+")[0].lower() in _SCHEMES


@cache
def bound_connections() -> None:
    """From now on, what a database is asked for us follows the limits of our requests."""
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event, inspect
    from sqlalchemy.engine import Engine

    def connect(dialect: Any, _: Any, args: list[Any], options: dict[str, Any]) -> Any:
        _bound(dialect)
        retries = current_retries.get()
        if retries is None:
            return None
        name = _TIMEOUTS.get(dialect.driver)

        def attempt(seconds: float) -> Any:
            known = {} if name is None else {name: max(_LEAST_SECONDS, int(seconds))}
            return dialect.connect(*args, **known | options)

        return retries.repeated(attempt)

    create: Callable[[str], Any] = utils.create_sqlalchemy_engine_with_retry

    def create_once(uri: str) -> Any:
        if current_retries.get() is None:
            return create(uri)
        utils._make_parent_dirs_if_sqlite(uri)  # noqa: SLF001  # as MLflow does it before it tries ten times
        engine = utils.create_sqlalchemy_engine(uri)
        inspect(engine)
        return engine

    event.listen(Engine, "do_connect", connect)
    event.listen(Engine, "begin", _limit_statements)
    for opened in SqlAlchemyStore._engine_map.values():  # noqa: SLF001  # by the user, before we listened
        _bound(opened.dialect)
    utils.create_sqlalchemy_engine_with_retry = create_once


def _limit_statements(connection: Any) -> None:
    retries = current_retries.get()
    if retries is not None and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(1000 * retries.patience)}")


def _bound(dialect: Any) -> None:
    """Let each wait of a dialect end in time, if it is ours; sqlite waits for locks only, as long as MLflow says."""
    if dialect.name == "sqlite" or _WAITS[0] in vars(dialect):
        return
    for name in _WAITS:
        setattr(dialect, name, partial(_in_time, name, getattr(dialect, name)))


def _in_time(name: str, wait: Callable[..., Any], asked: Any, *args: Any, **options: Any) -> Any:
    """Wait for an answer to what is asked: a cursor, or a connection."""
    retries = current_retries.get()
    if retries is None:
        return wait(asked, *args, **options)

    def attempt(seconds: float) -> Any:
        with _hanging_up_after(getattr(asked, "connection", asked), seconds):
            return wait(asked, *args, **options)

    if name == _GOODBYE:
        return attempt(_GOODBYE_SECONDS)
    return retries.bounded(lambda seconds: attempt(seconds + _GRACE))


@contextmanager
def _hanging_up_after(connection: Any, seconds: float) -> Iterator[None]:
    """Close the line of a connection if the block takes longer, which ends the driver's waiting with an error."""
    try:
        line = socket.socket(fileno=os.dup(connection.fileno()))  # of our own, whatever the driver does with its
    except Exception:  # it is closed already, or the driver does not say which socket is its
        yield
        return

    def hang_up() -> None:
        with suppress(OSError):  # the other side was quicker
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()
