"""How messages list and count things."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 20  # nobody reads more


def some_of(items: Sequence[str], most: int = _MOST) -> list[str]:
    """The first items, and how many more there are.

    Example:
        >>> some_of(["a", "b", "c", "d"], most=2)
        ['a', 'b', 'and 2 more']
    """
    rest = len(items) - most
    return [*items[:most], f"and {rest:,} more"] if rest > 0 else list(items)


def lines_of(items: Sequence[str]) -> str:
    r"""The same, each on an indented line of its own.

    Example:
        >>> lines_of(["a", "b"])
        '\n  a\n  b'
    """
    return "".join(f"\n  {line}" for line in some_of(items))


def counted(number: int, what: str) -> str:
    """A number of things, in the singular if there is one.

    Example:
        >>> counted(1, "run"), counted(2000, "run")
        ('1 run', '2,000 runs')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
