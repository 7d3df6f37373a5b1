"""How messages list and count things, and how they show what others have written."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_MOST = 20  # nobody reads more
# Control characters, halves of surrogate pairs, and what changes the direction or the lines of a text.
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
# What a spreadsheet may take for the beginning of a formula, also behind apostrophes that were put before it.
_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20]")
# Formulas, names in references, and escaped characters and commands.
_LATEX_CODE = re.compile(
    r"((?<!\\)\$(?:\\.|[^$\\])+\$|\\(?:[a-z]*ref|[a-z]*cite[a-z]*|url|label)\*?\{[^{}]*\}|\\(?:[A-Za-z]+|.))"
)
_IN_LATEX = str.maketrans(
    {
        **{letter: "\\" + letter for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with escapes in place of the characters that act on a terminal, or on the order of a text.

    Args:
        text: Whatever others have written: labels, names, errors.
        lines: Whether to keep line breaks.

    Example:
        >>> print(visible("a\x1b[31mb\u202ec\nd"))
        a\x1b[31mb\u202ec\nd
    """
    return _CONTROLS.sub(lambda found: "\n" if lines and found[0] == "\n" else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def latex_text(text: str) -> str:
    r"""A text as LaTeX takes it literally.

    Example:
        >>> print(latex_text("3SG_3PL \input{x}"))
        3SG\_3PL \textbackslash{}input\{x\}
    """
    return text.translate(_IN_LATEX)


def latex_prose(text: str) -> str:
    r"""A text that a person has written for LaTeX: its maths and commands stay, and what would break it is escaped.

    Example:
        >>> print(latex_prose(r"50% of $A_1$, a_b & \emph{c}, see \ref{tab:a_b}"))
        50\% of $A_1$, a\_b \& \emph{c}, see \ref{tab:a_b}
    """
    pieces = _LATEX_CODE.split(text)
    return "".join(
        piece if place % 2 else re.sub(r"[&%$#_^]", lambda found: found[0].translate(_IN_LATEX), piece)
        for place, piece in enumerate(pieces)
    )


def braces_match(text: str) -> bool:
    """Whether each brace that opens is closed, in LaTeX."""
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


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


def by_reason(reasons: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names, each with a reason, as the first names of each reason: what many have in common is said once.

    Example:
        >>> by_reason([("a", "too small"), ("b", "damaged"), ("c", "too small")])
        [('a, c', 'too small'), ('b', 'damaged')]
    """
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    return [(", ".join(some_of(own)), reason) for reason, own in names.items()]


def counted(number: int, what: str) -> str:
    """A number of things, in the singular if there is one.

    Example:
        >>> counted(1, "run"), counted(2000, "run")
        ('1 run', '2,000 runs')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def rounded(number: float, digits: int) -> str:
    """A number with so many digits after the point; what lies in the middle goes away from 0, as in JavaScript.

    Python's own formats go to the even digit there, so that a figure and a page would differ.

    Example:
        >>> rounded(12.5, 0), rounded(-0.125, 2), f"{12.5:.0f}"
        ('13', '-0.13', '12')
    """
    if not math.isfinite(number):
        return f"{number:.{digits}f}"
    return f"{Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, rounded as by `rounded`.

    Example:
        >>> percent(0.0625), percent(0.125, 0)
        ('6.3%', '13%')
    """
    return f"{rounded(100 * share, digits)}%"


PROBABILITIES = ("p_value", "q_value")  # columns whose cells `probability` writes


def probability(p: float) -> str:
    """A p- or q-value as it is written; 0 is one that is too small for a float.

    Example:
        >>> probability(0.0312), probability(0.0)
        ('0.031', '< 2e-308')
    """
    return f"< {sys.float_info.min:.0e}" if p == 0 else f"{p:.2g}"


def markdown(text: str) -> str:
    r"""Text that Markdown takes literally, in tables and links and at the beginning of a line.

    Example:
        >>> print(markdown("a_b|c <b>"))
        a\_b\|c &lt;b>
    """
    inside = re.sub(r"([|\[\]_*~`\\])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"^(\d+(?=[.)](?:\s|$))|(?=[#>+=-]))", r"\1\\", inside)


def csv_of(frame: pd.DataFrame, *, index: bool = False) -> str:
    r"""A frame as CSV, of which no cell is a formula to a spreadsheet.

    A text that begins like one - with =, +, - or @ - gets an apostrophe before it, and so does a text that begins with
    apostrophes before these; taking away one apostrophe there gives every text back. Control characters, which
    spreadsheets take for the beginning of a formula or of a line, are escaped. Numbers stay numbers, with all digits.

    Example:
        >>> import pandas as pd
        >>> csv_of(pd.DataFrame({"run": ["=1+1", "a"], "value": [-0.5, 1.0]}))
        "run,value\n'=1+1,-0.5\na,1.0\n"
    """
    shown = frame.rename(columns=_literal, index=_literal)
    for place, dtype in enumerate(frame.dtypes):
        if dtype.kind == "O":  # texts, and whatever else is no number
            shown.isetitem(place, [_literal(cell) for cell in shown.iloc[:, place]])
    return str(shown.to_csv(index=index, lineterminator="\n"))


def _literal(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    return f"'{visible(cell)}" if _FORMULA.match(cell) else visible(cell)


def named(labels: Sequence[str], most: int = 3) -> str:
    """The first labels, in few words.

    Example:
        >>> named(["a", "b", "c", "d", "e"])
        'a, b, c, and 2 more'
    """
    return ", ".join(some_of([shorten(label, 30) for label in labels], most))


def shorten(text: str, length: int) -> str:
    """A text of at most this length, in a line."""
    line = visible(text)
    return line if len(line) <= length else f"{line[: length - 1]}…"
