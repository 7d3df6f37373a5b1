"""Tracking URIs without what is secret in them, and texts without the secrets of a URI and of what was sent."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_plus

MASK = "***"
_WEB = ("http://", "https://")
# Names of parameters whose value is secret, or may contain a secret.
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential|auth|signature|sig$|odbc_connect", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;#])([^=&;#]*)=([^&;#]*)")
# What gives an address its rights: those that clouds sign are passes of their own.
_SIGNED = re.compile(
    r"([?&](?:X-Amz-(?:Signature|Credential|Security-Token)|[\w-]*signature|sig)=)[^&\s'\"<>]+", re.IGNORECASE
)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d{0,5})?")  # a host and a port
_SHORT = 4  # letters; shorter secrets are parts of ordinary words
# Where credentials stand: in an address, as a parameter, as a quoted value, in a header.
_PLACES = (
    r"(?<=//){}(?=[:@])",
    r"(?<=:){}(?=@)",
    r"(?<==){}(?!\w)",
    r"(?<=[:=]['\"]){}(?=['\"])",
    r"(?<=[:=]\s['\"]){}(?=['\"])",
    r"(?<=Basic\s){}(?!\w)",
    r"(?<=Bearer\s){}(?!\w)",
)


@dataclass(frozen=True)
class _Parts:
    """A URI as scheme, user, password (both None if there are none) and the rest: host, path, parameters."""

    scheme: str
    user: str | None
    password: str | None
    rest: str


def masked(uri: str) -> str:
    """The URI for messages: its secrets are `***`.

    A password is what stands before the last @, as far as that can be told, also if it contains characters that a URI
    would have to escape. The user of a web server is masked too, because services take tokens for users.

    Example:
        >>> masked("http://me:p@ss/word@host/mlflow"), masked("postgresql://me:pw@host/db?sslpassword=pw")
        ('http://***@host/mlflow', 'postgresql://me:***@host/db?sslpassword=***')
    """
    parts = _split(uri)
    rest = _PARAMETER.sub(lambda found: found[1] + found[2] + "=" + _shown_value(found), parts.rest)
    if parts.user is None:
        return parts.scheme + rest
    user = MASK if _is_web(parts) else parts.user + (f":{MASK}" if parts.password is not None else "")
    return f"{parts.scheme}{user}@{rest}"


def unmasked(uri: str, ask: Callable[[str], str]) -> str:
    """A URI as `masked` shows it, with what `ask` returns for each mask; it is asked with the URI up to there.

    Answers are given as they are, not escaped.

    Example:
        >>> unmasked("http://***@host", lambda place: "me:p@ss")
        'http://me:p%40ss@host'
    """
    known, *rest = uri.split(MASK)
    for following in rest:
        answer = ask(known + MASK)
        # The user of a web server is masked together with the password.
        parts = answer.split(":", 1) if known.lower().endswith("://") else [answer]
        known += ":".join(quote(part, safe="") for part in parts) + following
    return known


def without_secrets(uri: str) -> str:
    """The URI as it may be written down: without passwords, the users of web servers, and secret parameters.

    Example:
        >>> without_secrets("http://me:pw@host/mlflow"), without_secrets("postgresql://me:pw@host/db?a=1&password=pw")
        ('http://host/mlflow', 'postgresql://me@host/db?a=1')
    """
    parts = _split(uri)
    rest = _PARAMETER.sub(lambda found: "" if _SECRET_NAME.search(found[2]) else found[0], parts.rest)
    if "?" not in rest and "?" in parts.rest:  # the first parameter was secret
        rest = re.sub(r"[&;]", "?", rest, count=1)
    return parts.scheme + (f"{parts.user}@" if parts.user and not _is_web(parts) else "") + rest


def scrubbed(text: str, uri: str, sent: Iterable[str] = ()) -> str:
    """A text, such as an error of MLflow's, without the secrets of a URI, and without those that were sent beside it.

    Secrets of up to three letters are in every text by chance. They are masked only where credentials stand, such as
    in addresses and after an equals sign.

    Example:
        >>> scrubbed("could not reach http://co:x@host", "http://co:x@host")
        'could not reach http://***@host'
    """
    text = _SIGNED.sub(rf"\1{MASK}", text)
    for secret in _longest_first({*secrets_of(uri), *sent}):
        if len(secret) < _SHORT:
            places = "|".join(place.format(re.escape(secret)) for place in _PLACES)
            text = re.sub(places, MASK, text)
        else:
            text = text.replace(secret, MASK)
    return text


def secrets_in(headers: Mapping[str, str]) -> frozenset[str]:
    """What is secret in the headers of a request, in the forms in which an answer may repeat it.

    Example:
        >>> sorted(secrets_in({"Authorization": "Basic bWU6cHc=", "Accept": "text/html"}))
        ['bWU6cHc=', 'me:pw', 'pw']
    """
    found: set[str] = set()
    for name, value in headers.items():
        if _SECRET_NAME.search(name):
            credentials = value.partition(" ")[2] or value  # behind the name of their scheme
            found |= {credentials, *_unpacked(credentials)}
    return frozenset(found - {""})


def _unpacked(credentials: str) -> Iterator[str]:
    """The user with the password, and the password, if that is what is packed in base64."""
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return
    if ":" in pair:
        yield pair
        yield pair.partition(":")[2]


def has_secrets(uri: str) -> bool:
    """Whether there is anything in a URI that must not be shown."""
    return bool(secrets_of(uri))


def _longest_first(secrets: Iterable[str]) -> list[str]:
    return sorted(secrets, key=lambda secret: (-len(secret), secret))


def secrets_of(uri: str) -> set[str]:
    """The secrets in a URI, as they stand there and unescaped."""
    parts = _split(uri)
    found = [value for _, name, value in _PARAMETER.findall(parts.rest) if _SECRET_NAME.search(name)]
    if parts.password is not None:
        found += [f"{parts.user}:{parts.password}", parts.password]
    if parts.user and _is_web(parts):
        found.append(parts.user)
    return {form for secret in found if secret for form in (secret, unquote(secret), unquote_plus(secret))}


def _shown_value(found: re.Match[str]) -> str:
    return MASK if found[3] and _SECRET_NAME.search(found[2]) else found[3]


def _split(uri: str) -> _Parts:
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() in ("sqlite", "file"):  # what follows is a path, with whatever letters
        return _Parts("", None, None, uri)
    scheme += separator
    head, _, parameters = rest.partition("?")
    if "@" in parameters and not _are_parameters(scheme, head.rpartition("@")[2], parameters):
        place = rest.rfind("@")
    elif "@" in head:
        place = head.rfind("@")
    else:
        return _Parts(scheme, None, None, rest)
    user, colon, password = rest[:place].partition(":")
    return _Parts(scheme, user, password if colon else None, rest[place + 1 :])


def _are_parameters(scheme: str, head: str, parameters: str) -> bool:
    """Whether what follows a ? are parameters of a database, whose values may contain an @.

    Else it is a part of a password, which may contain / ? and #, although a URI would have to escape them.
    """
    is_host = _AUTHORITY.fullmatch(re.split(r"[/#]", head, maxsplit=1)[0]) is not None
    return scheme.lower() not in _WEB and is_host and "/" in head and "=" in parameters.partition("@")[0]


def _is_web(parts: _Parts) -> bool:
    return parts.scheme.lower() in _WEB
