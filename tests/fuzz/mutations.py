"""Inputs made from others: with other bytes, or as JSON with other values."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(rb'"[^"]*"|-?\d+(?:\.\d+)?|true|false|null')
_PLACE = "\0"  # what a value is written as, until its text replaces it
_ABSURD = [
    b"1e999", b"-1", b"0", b"5.0", b"1e-320", b"NaN", b"-Infinity", b"null", b"true", b"[]", b"{}", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"\\u202e\\u001b[31m"', b'"=1+1"', b'"../x"', b'"/x"', b'"1e999"', b"9" * 30,
    b"9223372036854775807", b"-9223372036854775808", b"2147483648", b"[" * 2000, b"[" * 60 + b"]" * 60,
    b'"' + b"x" * 5000 + b'"', b'{"a": [{}]}', b"[[1]]", b'{"": null}',
]  # fmt: skip


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The input with a few bytes changed, left out or repeated, or with values of JSON that are absurd."""
    spoilt = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at, length = chance.randrange(len(spoilt) + 1), chance.randrange(1, 9)
        kind = chance.randrange(6)
        if kind == 0 and at < len(spoilt):
            spoilt[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            spoilt[at : at + length] = chance.randbytes(length)
        elif kind == 2:
            del spoilt[at : at + length]
        elif kind == 3:
            spoilt[at:at] = data[at : at + 100 * length]
        elif tokens := list(_TOKEN.finditer(spoilt)):
            token = chance.choice(tokens)
            spoilt[token.start() : token.end()] = chance.choice(_ABSURD)
    return bytes(spoilt)


def mutated_json(chance: random.Random, data: bytes) -> bytes:
    """The document with one of its values replaced, left out, moved or named otherwise.

    Raises:
        ValueError, RecursionError: If the input is not a JSON document that holds values.
    """
    document = json.loads(data)
    places = list(_places(document))
    if not places:
        raise ValueError("there is nothing to replace")
    holder, key = chance.choice(places)
    value, text = holder[key], b""
    kind = chance.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1:  # the value of another key, or at another place
        other, its_key = chance.choice(places)
        text = json.dumps(other[its_key]).encode()
    elif kind == 2 and isinstance(holder, dict):
        holder[chance.choice(["", "__class__", f"{key}s", *(str(other) for _, other in places)])] = holder.pop(key)
    elif kind == 3 and isinstance(holder, list):
        holder.extend([value] * chance.choice([1, 2, 20]))
    else:
        text = chance.choice([*_ABSURD, *_near(value)])
    if text:
        holder[key] = _PLACE
    return json.dumps(document).encode().replace(json.dumps(_PLACE).encode(), text or b'"\\u0000"')


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Where a document has values: the object or list that holds one, and its key or index."""
    holders = [document]
    while holders:
        holder = holders.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        yield from ((holder, key) for key in keys)
        holders.extend(holder[key] for key in keys if isinstance(holder[key], (dict, list)))


def _near(value: Any) -> list[bytes]:
    """Values that differ from this one as little as may be."""
    if isinstance(value, str):
        near = [value[:-1], value + "x", value.upper(), value.replace("-", "_"), value * 3, f" {value}"]
    elif isinstance(value, (int, float)):
        near = [value + 1, value - 1, -value, value * 2, value / 2, str(value)]
    elif isinstance(value, list):
        near = [value[1:], value[::-1], value * 2, [value], dict(enumerate(value))]
    else:
        near = [[value], {"x": value}]
    return [json.dumps(one).encode() for one in near]
