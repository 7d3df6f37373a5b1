"""Where artifacts may lie. A server names the address, and the user's token and files would go there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.untrusted import quoted

ALLOW_VARIABLE = "GRADIEND_MLFLOW_ALLOW_ARTIFACTS"

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://([^/?#]*))?([^?#]*)")  # a scheme, an authority, a path
_PATH = re.compile(r"()()(/[^?#]*)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:?/*")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\\/?#@:\[\]%]+)(?::(\d{1,5}))?")
# Some readers leave these out, or take them for a slash, so that the same text is two addresses.
_STRANGE = re.compile(r"[\x00-\x1f\\\x7f]|^ ")
_PORTS = {"http": 80, "https": 443}
# The user's environment says at which endpoint these are; a bucket's name is no host.
_BUCKETS = ("s3", "gs")
_BUCKET = re.compile(r"[A-Za-z0-9:._-]+")
# An account of Azure is a host; only Microsoft has such.
_AZURE = ("abfss", "wasbs")
_ACCOUNT = re.compile(r"[^@]+@[A-Za-z0-9-]+\.(dfs|blob)\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)")
_LOCAL_STORES = ("file", "sqlite")


@dataclass(frozen=True)
class _Address:
    """A URI that can be read in one way only; a path on this machine is one of the scheme file."""

    scheme: str
    authority: str
    path: tuple[str, ...]

    def is_below(self, other: _Address) -> bool:
        return (self.scheme, self.authority) == (other.scheme, other.authority) and (
            self.path[: len(other.path)] == other.path
        )


def check_artifact_uri(artifact_uri: str, tracking_uri: str) -> None:
    """Refuse an address of artifacts that neither belongs to the tracking server nor is named by the user.

    By default artifacts may lie on the tracking server itself (same scheme, host and port), in the buckets and
    containers of s3, gs, abfss and wasbs, and in files where the runs are kept in files or in sqlite.

    Raises:
        StoreError: If it is refused; the text says how to allow it.
    """
    if _is_file_of_local_store(artifact_uri, tracking_uri):
        return
    address = _address_of(artifact_uri)
    if address is not None and (_is_usual(address, tracking_uri) or any(map(address.is_below, _allowed(address)))):
        return
    scheme = "" if address is None else f", such as {ALLOW_VARIABLE}={address.scheme}:"
    raise StoreError(
        f"the server keeps artifacts at {quoted(artifact_uri)}, which is not its own address, so nothing is read "
        f"from there or sent there. If that is right, name the address, its beginning or its scheme in the "
        f"environment variable {ALLOW_VARIABLE}{scheme}"
    )


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a web address; None if it is none, or could be read in several ways."""
    found = _URI.match(url)
    if found is None or found[1].lower() not in _PORTS or _STRANGE.search(url):
        return None
    host = _HOST.fullmatch((found[2] or "").rpartition("@")[2])
    return None if host is None else (found[1].lower(), host[1].lower(), int(host[2] or _PORTS[found[1].lower()]))


def is_same_server(url: str, other: str) -> bool:
    """Whether two web addresses have the same scheme, host and port."""
    origin = origin_of(url)
    return origin is not None and origin == origin_of(other)


def _is_usual(address: _Address, tracking_uri: str) -> bool:
    scheme, authority = address.scheme, address.authority
    if scheme in _PORTS:
        return _is_at(f"{scheme}://{authority}", tracking_uri)
    if scheme == "mlflow-artifacts":
        return authority == "" or _is_at(f"{_scheme_of(tracking_uri)}://{authority}", tracking_uri)
    if scheme in _AZURE:
        return _ACCOUNT.fullmatch(authority) is not None
    return scheme in _BUCKETS and _BUCKET.fullmatch(authority) is not None


def _is_at(server: str, tracking_uri: str) -> bool:
    """Whether this is the tracking server; a user and password, if there are any, must be those of its address."""
    return is_same_server(server, tracking_uri) and ("@" not in server or tracking_uri.startswith(server))


def _is_file_of_local_store(artifact_uri: str, tracking_uri: str) -> bool:
    is_local = _scheme_of(tracking_uri) in _LOCAL_STORES and not tracking_uri.startswith("databricks")
    return is_local and _scheme_of(artifact_uri) == "file" and not _STRANGE.search(artifact_uri)


def _allowed(address: _Address) -> list[_Address]:
    """What the user has named; a scheme stands for every address that has it."""
    named = [text.strip() for text in os.environ.get(ALLOW_VARIABLE, "").split(",")]
    if any(_SCHEME.fullmatch(text) and text.lower().rstrip(":/") == address.scheme for text in named):
        return [address]
    return [one for one in map(_address_of, named) if one is not None]


def _scheme_of(uri: str) -> str:
    """The scheme of a URI, without the driver of a database; that of a path is file."""
    found = _URI.match(uri)
    return found[1].lower().partition("+")[0] if found else "file"


def _address_of(uri: str) -> _Address | None:
    """The address; None if it could be read in several ways, or has a query, or steps upwards."""
    found = _URI.fullmatch(uri) or _PATH.fullmatch(uri)
    if found is None or _STRANGE.search(uri):
        return None
    scheme, authority, path = (found[1] or "file").lower(), found[2] or "", unquote(found[3])
    if scheme in _PORTS and (origin := origin_of(uri)) is not None and "@" not in authority:
        authority = f"{origin[1]}:{origin[2]}"  # with the port, whether or not it is written
    steps = tuple(step for step in path.split("/") if step not in ("", "."))
    return None if ".." in steps or _STRANGE.search(path) else _Address(scheme, authority, steps)
