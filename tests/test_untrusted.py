"""Values from JSON that others wrote are checked, or refused with a short reason on one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gradiend_mlflow import untrusted


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("NaN", "NaN"),
        ("[1, -Infinity]", "-Infinity"),
        ("1" * 5_000, "beyond 64 bits"),
        (str(2**63), "beyond 64 bits"),
        (str(-(2**64)), "beyond 64 bits"),
        ('{"a": }', "not valid JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"{" + b" " * 100, "at most 50"),
    ],
)
def test_what_is_no_json_is_refused(source: str | bytes, reason: str) -> None:
    """With a `ValueError` of a few words, whatever it is."""
    with pytest.raises(ValueError, match=reason) as caught:
        untrusted.parse_json(source, most=50 if isinstance(source, bytes) else 10**6)
    assert len(str(caught.value)) < 300


def test_json_is_read() -> None:
    """Text and bytes, with the largest integers."""
    assert untrusted.parse_json(b'{"k": [1, null, "\xc3\xa4", 9223372036854775807]}') == {
        "k": [1, None, "ä", 2**63 - 1]
    }


def test_a_large_float_is_no_infinity() -> None:
    """1e999 is JSON, and Python reads it as infinity: no number that is asked for may be it."""
    with pytest.raises(ValueError, match="finite"):
        untrusted.as_float(untrusted.parse_json("1e999"), "mean")


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (untrusted.as_str, "a", 1),
        (untrusted.as_str, "", ["a"]),
        (untrusted.as_str, "a", "a" * 100_001),
        (untrusted.as_bool, True, 1),
        (untrusted.as_int, 5, 5.0),
        (untrusted.as_int, 0, True),
        (untrusted.as_int, 1, -1),
        (untrusted.as_float, 1, "1"),
        (untrusted.as_float, 0.5, float("nan")),
        (untrusted.as_float, 2, False),
        (untrusted.as_dict, {}, []),
        (lambda value, name: untrusted.as_list(value, name, untrusted.as_int, most=2), [1, 2], [1, 2, 3]),
        (lambda value, name: untrusted.as_list(value, name, untrusted.as_int), [1], [1, "2"]),
        (lambda value, name: untrusted.optional(value, name, untrusted.as_int), None, "x"),
    ],
)
def test_types_and_bounds_are_checked(check: Callable[[Any, str], Any], good: Any, bad: Any) -> None:
    """The value itself, or an error that names what it should have been."""
    assert check(good, "field") == good
    with pytest.raises(ValueError, match=r"^field.* must be "):
        check(bad, "field")


ODD = {
    "escape": "\x1b[31mred",
    "direction": "a\nb\u202eb",
    "long": "x" * 10_000,
    "bytes": b"\x00" * 1_000,
    "digits": 10**5_000,
    "nested": [[["x"] * 99]],
}


@pytest.mark.parametrize("kind", ODD)
def test_what_came_is_quoted_on_one_short_line(kind: str) -> None:
    """No control character, no direction mark, no more than 200 characters."""
    quoted = untrusted.quoted(ODD[kind])
    assert quoted.isascii()
    assert quoted.isprintable()
    assert len(quoted) <= untrusted.MOST_QUOTED
