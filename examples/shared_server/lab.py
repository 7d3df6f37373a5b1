"""PostgreSQL, S3, and a server in front of both that knows an administrator, a writer and a reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared_server import accounts
from shared_server.accounts import Account
from shared_server.postgres import postgres
from shared_server.s3 import BUCKET, s3
from shared_server.tracking_server import tracking_server


@dataclass(frozen=True)
class Lab:
    """A deployment that runs."""

    url: str
    admin: Account
    writer: Account
    reader: Account

    def environment(self, account: Account) -> dict[str, str]:
        """All that a client sets: artifacts go through the server, so it needs neither keys nor boto3."""
        return {"MLFLOW_TRACKING_URI": self.url, **account.environment}


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """Run it, with logs and configuration in a folder; when the block ends, all of it has ended."""
    admin, writer, reader = Account("admin"), Account("wanda"), Account("rita")
    with ExitStack() as stack:
        database = stack.enter_context(postgres("mlflow", "accounts"))
        keys = stack.enter_context(s3(folder / "s3"))
        (folder / "server").mkdir()
        settings = accounts.configure(folder / "server", database.uri("accounts"), admin)
        url = stack.enter_context(
            tracking_server(
                folder / "server",
                *("--backend-store-uri", database.uri("mlflow")),
                *("--artifacts-destination", f"s3://{BUCKET}"),
                *accounts.OPTIONS,
                environment=settings | keys,
            )
        )
        accounts.create(url, admin, writer, reader)
        yield Lab(url, admin, writer, reader)
