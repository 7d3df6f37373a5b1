"""Databases that are read without a server: how long they may take to answer, and how often they are asked.

By itself MLflow tries to open a database for 100 seconds, and lets a driver wait for a connection without an end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from gradiend_mlflow.store.retries import current_retries

_SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mssql")
# What drivers call the seconds for a connection. That of sqlite is for a lock, for which MLflow has its own.
_TIMEOUTS = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout", "pymysql": "connect_timeout"}
_LEAST_SECONDS = 2  # less is not possible with libpq


def is_database(uri: str) -> bool:
    """Whether a tracking URI is that of a database."""
    return uri.partition(":")[0].partition("+")[0].lower() in _SCHEMES


@cache
def bound_connections() -> None:
    """From now on, connections that are opened for us follow the limits of our requests."""
    from mlflow.store.db import utils
    from sqlalchemy import event, inspect
    from sqlalchemy.engine import Engine

    def connect(dialect: Any, _: Any, args: list[Any], options: dict[str, Any]) -> Any:
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
    utils.create_sqlalchemy_engine_with_retry = create_once
