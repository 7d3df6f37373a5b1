"""Faults of a PostgreSQL: it stands still, a table of it is locked, it has no room for another connection."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg2

from shared_server.postgres import Postgres


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Within the block it takes connections and requests, and answers none; those that it has stay open."""
    ids = _processes(server)
    _signal(ids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal([*ids, *_processes(server)], signal.SIGCONT)


def _processes(server: Postgres) -> list[int]:
    main = (server.folder / "data" / "postmaster.pid").read_text().split()[0]
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", main], capture_output=True, text=True, check=False).stdout
    return [int(one) for one in [main, *listed.split()]]


def _signal(ids: list[int], number: signal.Signals) -> None:
    for one in ids:
        with suppress(ProcessLookupError):
            os.kill(one, number)


@contextmanager
def locked(server: Postgres, database: str, table: str) -> Iterator[None]:
    """Within the block another client has a table to itself, as during a change of its columns."""
    with closing(psycopg2.connect(host=str(server.folder), user="postgres", dbname=database)) as other:
        other.cursor().execute(f"LOCK TABLE {table}")
        yield


@contextmanager
def full(server: Postgres, role: str) -> Iterator[None]:
    """Within the block the role may open no further connection, and has none."""
    with altered(server, role, "NOSUPERUSER CONNECTION LIMIT 0", afterwards="SUPERUSER CONNECTION LIMIT -1"):
        yield


@contextmanager
def altered(server: Postgres, role: str, to: str, *, afterwards: str) -> Iterator[None]:
    """Within the block a role has other rights and none of its connections; `afterwards` gives the rights back."""
    server.run("psql", "--quiet", "--command", f"ALTER ROLE {role} {to}")
    of_role = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    server.run("psql", "--quiet", "--command", of_role)
    try:
        yield
    finally:
        server.run("psql", "--quiet", "--command", f"ALTER ROLE {role} {afterwards}")
