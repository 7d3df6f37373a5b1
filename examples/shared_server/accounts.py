"""MLflow's basic-auth: every account may read everything, and writes to the experiments that it has made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import requests

OPTIONS = ["--app-name", "basic-auth"]  # of `mlflow server`


@dataclass(frozen=True)
class Account:
    """A user of the server, with a password of at least 12 characters, as MLflow demands."""

    name: str
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which MLflow's clients log in."""
        return {"MLFLOW_TRACKING_USERNAME": self.name, "MLFLOW_TRACKING_PASSWORD": self.password}


def configure(folder: Path, database: str, admin: Account) -> dict[str, str]:
    """Write the server's configuration; returns the environment variables that it needs."""
    file = folder / "basic_auth.ini"
    settings = {
        "default_permission": "READ",
        "database_uri": database,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds": "60",  # else every request hashes its password, which takes an eighth of a second
    }
    file.write_text("\n".join(["[mlflow]", *(f"{key} = {value}" for key, value in settings.items()), ""]))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(file),
        "MLFLOW_AUTH_ADMIN_USERNAME": admin.name,
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),  # the same for all workers
    }


def create(server: str, admin: Account, *accounts: Account) -> None:
    """Create accounts on a server that runs, as its administrator."""
    for account in accounts:
        answer = requests.post(
            f"{server}/api/2.0/mlflow/users/create",
            json={"username": account.name, "password": account.password},
            auth=(admin.name, admin.password),
            timeout=60,
        )
        answer.raise_for_status()
