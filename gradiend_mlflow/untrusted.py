"""Data that others wrote - tags, files, journals - as values whose types and sizes are checked.

Everything here raises `ValueError`, whatever comes in; the caller says of which run, file or directory it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

MOST_QUOTED = 200  # characters of what came that an error repeats
MOST_JSON = 64 * 2**20  # bytes
# Of a document in memory: a list, an object or a string takes up to a hundred bytes where it has two or three in the
# document; anything else up to 32.
_MOST_HOLDERS = 2**22
_MOST_VALUES = 2**25
_LARGEST_INT = 2**63 - 1

T = TypeVar("T")


def quoted(value: object) -> str:
    r"""What came, for an error: on one line, without control characters, at most 200 characters.

    Example:
        >>> quoted("a\x1b[31m"), len(quoted("x" * 1000))
        ("'a\\x1b[31m'", 200)
    """
    try:
        shown = ascii(value[: MOST_QUOTED + 1] if isinstance(value, (str, bytes)) else value)
    except Exception:  # nested too deep, or a number of more digits than Python writes
        shown = f"a value of the type {type(value).__name__}"
    return shown if len(shown) <= MOST_QUOTED else f"{shown[: MOST_QUOTED - 3]}..."


def parse_json(source: str | bytes, *, most: int = MOST_JSON, non_finite: bool = False) -> Any:
    """The value of a JSON document.

    Args:
        source: The document.
        most: How long it may be.
        non_finite: Whether it may hold NaN and Infinity, which Python's own writer writes.

    Raises:
        ValueError: If it is longer, not JSON, nested too deep, or holds an integer beyond 64 bits, NaN or Infinity,
            more than four million lists, objects and strings, or more than 33 million values.

    Example:
        >>> parse_json('{"k": 1}')
        {'k': 1}
    """
    if len(source) > most:
        raise ValueError(f"it has {len(source):,} bytes; at most {most:,} are read")
    holders = _count(source, "[") + _count(source, "{") + _count(source, '"') // 2
    if holders > _MOST_HOLDERS or _count(source, ",") > _MOST_VALUES:
        raise ValueError("it holds more lists, objects, strings or numbers than anything that is read here")
    try:
        return json.loads(source, parse_constant=float if non_finite else _refuse, parse_int=_bounded_int)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON: {error.msg} at character {error.pos}") from None


def _count(source: str | bytes, mark: str) -> int:
    return source.count(mark.encode()) if isinstance(source, bytes) else source.count(mark)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which JSON does not have")


def _bounded_int(digits: str) -> int:
    number = int(digits) if len(digits) <= len(str(_LARGEST_INT)) + 1 else _LARGEST_INT + 1
    if abs(number) > _LARGEST_INT:
        raise ValueError(f"it holds an integer beyond 64 bits: {digits[:MOST_QUOTED]}")
    return number


def check_depth(value: Any, most: int = 50) -> None:
    """Refuse what is nested deeper than `most` levels: who goes through it level by level may then call itself."""
    level = [value]
    for _ in range(most + 1):
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [item for items in inside for item in items if isinstance(item, (dict, list))]
    if level:
        raise ValueError(f"it is nested deeper than {most} levels")


def as_str(value: Any, name: str, *, most: int = 100_000) -> str:
    """`value` if it is a string of at most `most` characters."""
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"{name} must be a string of at most {most:,} characters; got {quoted(value)}")
    return value


def as_bool(value: Any, name: str) -> bool:
    """`value` if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {quoted(value)}")  # noqa: TRY004  # one kind of error
    return value


def as_int(value: Any, name: str, *, least: int = 0, most: int = _LARGEST_INT) -> int:
    """`value` if it is an integer in [least, most]; 5.0 is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be an integer from {least} to {most}; got {quoted(value)}")
    return value


def as_float(value: Any, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a float if it is a finite number in [least, most]."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"{name} must be a finite number; got {quoted(value)}")
    return float(value)


def as_list(value: Any, name: str, item: Callable[[Any, str], T], *, most: int = 1_000_000) -> list[T]:
    """`value` if it is a list of at most `most` items, each checked by `item`."""
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{name} must be a list of at most {most:,} items; got {quoted(value)}")
    return [item(one, f"{name}[{index}]") for index, one in enumerate(value)]


def as_dict(value: Any, name: str) -> Mapping[str, Any]:
    """`value` if it is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object; got {quoted(value)}")  # noqa: TRY004  # one kind of error
    return value


def optional(value: Any, name: str, item: Callable[[Any, str], T]) -> T | None:
    """None for null, else `value` checked by `item`."""
    return None if value is None else item(value, name)
