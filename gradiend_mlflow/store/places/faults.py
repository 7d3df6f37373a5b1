"""Why a request failed, and whether the same one may work later: of servers, artifact stores and databases."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

import requests
from mlflow.exceptions import MlflowException

from gradiend_mlflow.store.secrets import scrubbed
from gradiend_mlflow.store.trust.answers import Refused
from gradiend_mlflow.untrusted import MOST_QUOTED
from gradiend_mlflow.wording import visible

TRANSIENT_STATUSES = frozenset((408, 429, 500, 502, 503, 504))
_UNKNOWN, _FORBIDDEN = 401, 403
_MOST_ERRORS = 50
_MLFLOWS_PREFIX = re.compile(r"API request to \S+ failed with (timeout )?exception ")  # says what was asked
_SQLALCHEMYS_SUFFIX = re.compile(r"\s*(\[SQL: .*|\(Background on this error at: .*)", re.DOTALL)

# Clients of clouds and databases may be missing here, so their errors are known by their names.
_CLOUDS = ("botocore", "boto3", "s3transfer", "google", "azure")
_UNREACHED = frozenset(
    (
        *("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseStreamingError"),  # of botocore
        *("ServiceRequestError", "ServiceResponseError", "RetryError"),  # of Azure, and of Google
    )
)
_TRANSIENT_CODES = frozenset(("RequestTimeout", "SlowDown", "Throttling", "InternalError", "ServiceUnavailable"))
_INSTALLED_BY = {
    "google": 'pip install "gradiend-mlflow[gs]"',
    "azure": "pip install azure-identity azure-storage-blob azure-storage-file-datalake",
}
_DATABASES = ("sqlalchemy", "psycopg", "psycopg2", "pymysql", "MySQLdb", "sqlite3")
_OF_DATABASES = frozenset(("OperationalError", "InterfaceError", "TimeoutError"))
# Errors that are raised because there is no account to ask as: botocore's, and Google's.
_NO_ACCOUNT = frozenset(
    (
        *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"),
        *("DefaultCredentialsError", "RefreshError"),
    )
)
_ADVICE = {
    "s3": (
        ". boto3 takes the account from the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "from the profile that AWS_PROFILE names"
    ),
    "gs": (
        ". Google's client takes the account from the file that the environment variable "
        "GOOGLE_APPLICATION_CREDENTIALS names, or from `gcloud auth application-default login`"
    ),
}
# What a database answers to a wrong address or account, whatever the kind of error.
_LASTING = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|permission denied|access denied"
    r"|(role|database) \S+ (does not exist|is not permitted)|unknown database",
    re.IGNORECASE,
)


def may_pass(error: BaseException) -> bool:
    """Whether the same request may work later: nobody was reached, or nobody was able to answer."""
    causes = list(_causes(error))
    if any(isinstance(one, (Refused, requests.exceptions.SSLError)) or _is(one, "SSLError") for one in causes):
        return False
    status = status_of(error)
    if status is not None and any(_library(one) in _CLOUDS for one in causes):
        return status in TRANSIENT_STATUSES or code_of(error) in _TRANSIENT_CODES
    if isinstance(error, requests.RequestException):
        return not isinstance(error, ValueError)  # the address is wrong
    return any(_is_unreached(one) or _is_closed(one) for one in causes)


def was_answered(error: BaseException) -> bool:
    """Whether the failed request was answered, if only with a fault."""
    return status_of(error) is not None


def is_denied(error: BaseException) -> bool:
    """Whether the account is not known, or may not do what was asked, or there is none."""
    return status_of(error) in (_UNKNOWN, _FORBIDDEN) or any(
        _library(one) in _CLOUDS and any(_is(one, name) for name in _NO_ACCOUNT) for one in _causes(error)
    )


def account_advice(error: BaseException, place: str = "") -> str:
    """What to add to the reason if the account is not known or may not do what was asked; by MLflow, or at a place."""
    if place:
        return _ADVICE.get(place.partition("://")[0], "")
    if status_of(error) == _FORBIDDEN:
        return ". The account that MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_TOKEN names may not do this"
    return (
        ". MLflow takes the account from the environment variables MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )


def status_of(error: BaseException) -> int | None:
    """The HTTP status of the answer, from MLflow or a client of a cloud; None if there was none."""
    for one in _causes(error):
        if isinstance(one, MlflowException):
            return int(one.get_http_status_code())
        if _library(one) in _CLOUDS:
            status = _response_of(one).get("ResponseMetadata", {}).get("HTTPStatusCode")
            for found in (status, getattr(one, "status_code", None), getattr(one, "code", None)):
                if isinstance(found, int):
                    return int(found)
    return None


def code_of(error: BaseException) -> str:
    """What S3 calls the fault, such as "NoSuchKey"; empty for others."""
    codes = (_response_of(one).get("Error", {}).get("Code") for one in _causes(error))
    return next((str(code) for code in codes if code), "")


def reason_of(error: BaseException, uri: str = "", sent: Iterable[str] = ()) -> str:
    """Why a request failed, on one line: the operating system's message, else the error's text without markup.

    MLflow nests the errors of requests, urllib3 and the system in one another, and quotes whole HTML pages. Longer
    texts are cut after 200 characters. The secrets of `uri`, and those that were `sent`, are masked. Control
    characters are escaped.

    Example:
        >>> reason_of(RuntimeError("502: <html><h1>Bad gateway</h1></html>"))
        '502: Bad gateway'
    """
    refusal = next((str(one) for one in _causes(error) if isinstance(one, Refused)), None)
    if refusal is not None:
        return scrubbed(refusal, uri, sent)
    text = _missing_client(error) or _system_message(error) or _SQLALCHEMYS_SUFFIX.sub("", str(error))
    text = " ".join(re.sub(r"<[^<>]*>", " ", text).split())
    text = _MLFLOWS_PREFIX.sub("", text)
    text = visible(scrubbed(text, uri, sent))
    return text if len(text) <= MOST_QUOTED else text[: MOST_QUOTED - 1] + "…"


def _missing_client(error: BaseException) -> str | None:
    """What to install where a store's client is missing."""
    for one in _causes(error):
        command = _INSTALLED_BY.get((one.name or "").partition(".")[0]) if isinstance(one, ImportError) else None
        if command is not None:
            return f"its client is not installed: {command} ({one})"
    return None


def _system_message(error: BaseException) -> str | None:
    """The innermost text, without those of the libraries around it."""
    for one in _causes(error):
        if _response_of(one):
            return str(one)
        if isinstance(one, OSError) and one.errno is not None and one.strerror:
            return one.strerror if one.filename is None else f"{one.strerror}: {one.filename}"
        if isinstance(one, TimeoutError) or _is(one, "ReadTimeoutError"):
            return "no answer in time"
        if isinstance(one, ConnectionError):  # Python's own, when a server hangs up
            return str(one)
    return None


def _is_unreached(error: BaseException) -> bool:
    return _library(error) in _CLOUDS and any(_is(error, name) for name in _UNREACHED)


def _is_closed(error: BaseException) -> bool:
    """Whether a database was locked for longer than MLflow waits, is down, or has no room."""
    unavailable = isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE"
    of_database = _library(error) in _DATABASES and any(_is(error, name) for name in _OF_DATABASES)
    if not unavailable and not of_database:
        return False
    text = str(error)
    return ("sqlite" not in text or "locked" in text) and not _LASTING.search(text)


def _response_of(error: BaseException) -> dict[str, dict[str, int | str]]:
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) and _library(error) == "botocore" else {}


def _is(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _library(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it comes from."""
    waiting, seen = deque([error]), 0
    while waiting and seen < _MOST_ERRORS:  # errors may refer to each other in a circle
        one, seen = waiting.popleft(), seen + 1
        yield one
        # urllib3 passes the system's error on as an argument and raises another one.
        nested = (one.__cause__, one.__context__, *one.args)
        waiting.extend(other for other in nested if isinstance(other, BaseException))
