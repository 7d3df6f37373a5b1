"""S3, with MLflow's settings and our limits: one attempt, bounded in time, drawing nothing at random.

By itself boto3 repeats a request five times, waits a minute for each answer and draws pauses from Python's global
random generator; MLflow asks for an object's size before it downloads it.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mlflow.environment_variables import (
    MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE,
    MLFLOW_S3_ENDPOINT_URL,
    MLFLOW_S3_EXPECTED_BUCKET_OWNER,
    MLFLOW_S3_IGNORE_TLS,
)

from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.forks import away
from gradiend_mlflow.store.retries import Retries
from gradiend_mlflow.store.secrets import masked, secrets_of

# All that decides where a client goes, and as whom; another value needs another client.
_SETTINGS = ("AWS_", "BOTO", "MLFLOW_S3_", "MLFLOW_BOTO_", "MLFLOW_EXPERIMENTAL_S3_")
_TIMEOUTS = (30, 10, 3, 1)  # seconds; each needs a client of its own
_PIECE = 2**20  # bytes that are written at once
_OWN_SCHEMES = ("", "file", "http", "https", "mlflow-artifacts")  # MLflow's server, or this machine

T = TypeVar("T")


def place_of(artifact_uri: str) -> str:
    """What an artifact store is called in messages; empty for MLflow's own, and for folders.

    Example:
        >>> place_of("s3://lab/1/2/artifacts"), place_of("mlflow-artifacts:/1/2")
        ('s3://lab', '')
    """
    address = urlsplit(artifact_uri)
    if address.scheme in _OWN_SCHEMES or not address.netloc:
        return ""
    endpoint = _endpoint() if address.scheme == "s3" else None
    return f"{address.scheme}://{address.netloc}" + (f" at {masked(endpoint)}" if endpoint else "")


def read_object(retries: Retries, artifact_uri: str, path: str, most: int) -> bytes:
    """The first `most` + 1 bytes of an object, in one request."""
    return _answered(retries, artifact_uri, path, lambda body: bytes(body.read(most + 1)))


def save_object(retries: Retries, artifact_uri: str, path: str, file: Path) -> None:
    """Write an object to a file, in one request; however large it is, a piece of it is in memory."""

    def save(body: Any) -> None:
        with file.open("wb") as output:
            shutil.copyfileobj(body, output, _PIECE)

    _answered(retries, artifact_uri, path, save)


def names_of_objects(retries: Retries, artifact_uri: str) -> list[str]:
    """The paths of all objects below an address, a thousand in a request."""
    asked = _addressed(artifact_uri, "Prefix", "")
    found: list[str] = []
    with away():
        while True:
            page = retries.repeated(
                lambda seconds: _bounded(retries, artifact_uri, seconds).list_objects_v2(**asked),
            )
            found += [item["Key"].removeprefix(asked["Prefix"]) for item in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return [name for name in found if not name.endswith("/")]  # which some tools write as a folder's mark
            asked["ContinuationToken"] = page["NextContinuationToken"]


def _answered(retries: Retries, artifact_uri: str, path: str, use: Callable[[Any], T]) -> T:
    """What becomes of an object's content in use."""

    def attempt(seconds: float) -> T:
        answer = _bounded(retries, artifact_uri, seconds).get_object(**_addressed(artifact_uri, "Key", path))
        with answer["Body"] as body:
            return use(body)

    with away():
        return retries.repeated(attempt)


def _addressed(artifact_uri: str, what: str, path: str) -> dict[str, str]:
    """Bucket and key, or the like, of a path below an address."""
    address = urlsplit(artifact_uri)
    asked = {"Bucket": address.netloc, what: posixpath.join(address.path.lstrip("/"), path)}
    if owner := MLFLOW_S3_EXPECTED_BUCKET_OWNER.get():
        asked["ExpectedBucketOwner"] = owner
    return asked


def s3_client(retries: Retries, artifact_uri: str) -> Any:
    """A client as MLflow uses it: each request is made once, but uploads follow the limits."""
    return _Uploading(retries, artifact_uri)


def _bounded(retries: Retries, artifact_uri: str, seconds: float) -> Any:
    """A client of boto3 whose requests take at most about so many seconds.

    Raises:
        StoreError: If boto3 is not installed.
    """
    settings = tuple(sorted(one for one in os.environ.items() if one[0].startswith(_SETTINGS)))
    timeout = next((one for one in _TIMEOUTS if one <= seconds), _TIMEOUTS[-1])
    secrets = secrets_of(_endpoint() or "")
    retries.note_place(place_of(artifact_uri), secrets)  # whose fault it is if there is no such account
    client, credentials = _client(os.getpid(), settings, timeout)
    if credentials is not None:
        known = credentials.get_frozen_credentials()
        secrets |= {secret for secret in (known.secret_key, known.token) if secret}
        retries.note_place(place_of(artifact_uri), secrets)
    return client


def _endpoint() -> str | None:
    endpoint: str | None = MLFLOW_S3_ENDPOINT_URL.get()
    return endpoint


@lru_cache(maxsize=8)
def _client(pid: int, settings: tuple[tuple[str, str], ...], timeout: int) -> tuple[Any, Any]:  # noqa: ARG001
    """A client and its credentials; the arguments are what one must not be shared across."""
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise StoreError(f'artifacts in S3 need boto3: pip install "gradiend-mlflow[s3]" ({error})') from None
    session = boto3.DEFAULT_SESSION or boto3.session.Session()
    signature = os.environ.get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "s3v4")  # these four as MLflow sets them
    config = Config(
        signature_version=UNSIGNED if signature.lower() == "unsigned" else signature,
        s3={"addressing_style": MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE.get()},
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    verify = False if MLFLOW_S3_IGNORE_TLS.get() else None
    client = session.client("s3", config=config, endpoint_url=_endpoint(), verify=verify)
    return client, session.get_credentials()


class _Uploading:
    """It uploads in the thread that asks for it, for which no end of a process waits."""

    def __init__(self, retries: Retries, artifact_uri: str) -> None:
        self._client = partial(_bounded, retries, artifact_uri)
        self._repeated = retries.repeated

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client(_TIMEOUTS[0]), name)

    def upload_file(self, **asked: Any) -> None:
        self._client(_TIMEOUTS[0])  # which says what to install
        from boto3.s3.transfer import TransferConfig

        alone = TransferConfig(use_threads=False)
        with away():
            self._repeated(
                lambda seconds: self._client(seconds).upload_file(**asked, Config=alone),
                size=Path(asked["Filename"]).stat().st_size,
            )
