"""Labels as letters: on one line, short, with arrows, in letters that the fonts have, and never two alike."""

from __future__ import annotations

import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.wording import latex_text, rounded, some_of, visible

Writer = Callable[[float], str]

LONGEST_LABEL = 40
UNKNOWN = "\N{EN DASH}"
_PACKAGE = __name__.partition(".")[0]
_CONTEXT = 12  # letters that are kept beside a difference, at most
_ARROWS = {"->": "→", "<->": "↔", "=>": "⇒"}
# Neither a longer arrow nor a part of one: "-->" and "<=>" stay as they are.
_TYPED_ARROW = re.compile(r"\s*(?<![-=<])(<->|->|=>|[→↔⇒])(?![->])\s*")


def single_line(labels: Iterable[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels on one line each, with arrows, shortened to fit a figure (`shortened`), for matplotlib (`literal`)."""
    return [literal(line) for line in shortened([with_arrows(label) for label in labels], longest)]


def literal(text: str) -> str:
    """Text that matplotlib takes literally: it would read what stands between two dollar signs as a formula.

    With `text.usetex` it hands every text to LaTeX, which would read all of it so.
    """
    import matplotlib as mpl

    return latex_text(text) if mpl.rcParams["text.usetex"] else text.replace("$", r"\$")


def with_arrows(label: str) -> str:
    """A label on one line with arrows instead of `->`, `<->` and `=>`, in the spaces that gradiend puts around them.

    Arrows that matplotlib's current fonts do not have stay as they were typed.

    Example:
        >>> with_arrows("der->die (Nom,  Masc => Fem)")
        'der → die (Nom, Masc ⇒ Fem)'
    """
    import matplotlib as mpl

    arrows = _arrows_of(tuple(mpl.rcParams["font.family"]))

    def arrow(found: re.Match[str]) -> str:
        return f" {arrows.get(found[1], found[1])} "

    return visible(" ".join(_TYPED_ARROW.sub(arrow, label).split()))


@lru_cache(maxsize=100)
def _arrows_of(families: tuple[str, ...]) -> dict[str, str]:  # noqa: ARG001  # part of the cache's key
    """The arrows that the current fonts have, by how they are typed."""
    missing = letters_missing(_ARROWS.values())
    return {typed: drawn for typed, drawn in _ARROWS.items() if drawn not in missing}


def letters_missing(strings: Iterable[str]) -> list[str]:
    """The letters that none of matplotlib's current font families has."""
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in mpl.rcParams["font.family"]]
    letters = {letter for letter in "".join(strings) if not letter.isspace()}
    return sorted(letter for letter in letters if not any(font.get_char_index(ord(letter)) for font in fonts))


def warn_of_missing_letters(strings: Iterable[str]) -> None:
    """Warn once if none of matplotlib's current font families has some of the letters, and say what to do.

    Matplotlib itself warns of each letter by its number, whenever the figure is drawn, and names no remedy.
    """
    import matplotlib as mpl

    if missing := letters_missing(strings):
        warn_user(
            f"the font {', '.join(mpl.rcParams['font.family'])} does not have {', '.join(some_of(missing))}, so "
            "boxes are drawn: list a font that does, such as matplotlib.rcParams['font.family'] = ['DejaVu Sans', "
            "'Noto Sans CJK JP']"
        )


def warn_user(message: str) -> None:
    """Warn at the line outside of this package that has asked for a figure, whichever way it has taken."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def shortened(labels: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """The labels in at most `longest` letters each, never two alike.

    Labels that fit stay as they are; the others lose the ending that they have in common, then their middle. If that
    makes some alike, these keep their beginning and the part in which they differ, and the others their beginning.
    Labels that are still alike are numbered.

    Args:
        labels: Any number of labels, also equal ones.
        longest: The number of letters that a label may have; at least 6, so that numbers fit.

    Example:
        >>> shortened([f"a long name of an experiment, seed {n}, of all its weights" for n in (1, 12)], 20)
        ['a long na…t, seed 1…', 'a long na…, seed 12…']
    """
    short = _told_apart(labels, longest)
    for alike in _clashes(short):
        for index, label in zip(alike, _numbered(labels, alike, longest), strict=True):
            short[index] = label
    # Another label may begin with such a number.
    return _numbered(labels, range(len(labels)), longest) if _clashes(short) else short


def told_apart(labels: Sequence[str], longest: int) -> list[str] | None:
    """The labels as `shortened` gives them, or None if that takes numbers."""
    short = _told_apart(labels, longest)
    return None if _clashes(short) else short


def _told_apart(labels: Sequence[str], longest: int) -> list[str]:
    """The labels without their common ending and their middle, or with what differs where this makes some alike."""
    long = [index for index, label in enumerate(labels) if len(label) > longest]
    common = len(common_ending([labels[index] for index in long]))

    def with_these(indices: Sequence[int], texts: Sequence[str]) -> list[str]:
        text_of = dict(zip(indices, texts, strict=True))
        return [text_of.get(index, label) for index, label in enumerate(labels)]

    closing = "…" * bool(common)
    stems = [labels[index][: len(labels[index]) - common] for index in long]
    short = with_these(long, [_without_middle(stem, longest - len(closing)) + closing for stem in stems])
    if not (clashes := _clashes(short)):
        return short
    different = with_these(long, _differences(labels, long, longest)) if long else short
    if not _clashes(different):
        return different
    # What follows the difference is left out of all of them, so that they are read in the same way.
    short = with_these(long, [labels[index][: longest - 1] + "…" for index in long])
    for alike in clashes:
        for index, label in zip(alike, _differences(labels, alike, longest), strict=True):
            short[index] = label
    return short


def common_ending(labels: Sequence[str]) -> str:
    """How several labels end, from the beginning of a word on; nothing if that is less than is written instead."""
    if len(labels) < 2:  # noqa: PLR2004
        return ""
    ending = _common_beginning([label[::-1] for label in labels])[::-1]
    ending = ending[_context(r"^\w*", ending) :]
    return ending if len(ending) > 2 and len(ending) < min(map(len, labels)) else ""  # noqa: PLR2004


def _clashes(labels: Sequence[str]) -> list[list[int]]:
    """The indices of equal labels, a list for each label that occurs more than once."""
    counts = Counter(labels)
    return [[i for i, other in enumerate(labels) if other == label] for label, n in counts.items() if n > 1]


def _without_middle(label: str, longest: int) -> str:
    if len(label) <= longest:
        return label
    end = longest // 2
    return f"{label[: longest - end - 1]}…{label[-end:]}"


def _differences(labels: Sequence[str], indices: Sequence[int], longest: int) -> list[str]:
    """The labels without their common end, and with as much of their common beginning as fits."""
    chosen = [labels[index] for index in indices]
    if max(map(len, chosen)) <= longest:
        return chosen  # one of them looks like another that was shortened
    beginning = _common_beginning(chosen)
    ending = _common_beginning([label[len(beginning) :][::-1] for label in chosen])[::-1]
    # Whole words and the word before: "seed 12" says more than "2".
    start = len(beginning) - _context(r"(?:\w+\s+)?[^\s,;:/|&]*$", beginning)
    end = len(ending) - _context(r"^\w*", ending)
    middles = [label[start : len(label) - end] for label in chosen]
    kept = max(min(longest - max(map(len, middles)) - 2, start), 0)
    opening = beginning[:start] if kept == start else beginning[:kept].rstrip(" ,;:/|&_-") + "…"
    closing = "…" if end else ""
    available = longest - len(opening) - len(closing)
    return [opening + _without_middle(middle, available) + closing for middle in middles]


def _common_beginning(labels: Sequence[str]) -> str:
    first, last = min(labels), max(labels)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def _context(pattern: str, common: str) -> int:
    """How many letters of a common part belong to the words that differ; 0 if they are too many."""
    length = len(re.findall(pattern, common)[0])
    return length if length <= _CONTEXT else 0


def _numbered(labels: Sequence[str], indices: Sequence[int], longest: int) -> list[str]:
    numbers = [str(index + 1) for index in indices]
    available = longest - len(max(numbers, key=len)) - len(": ")
    if available < 3:  # noqa: PLR2004  # a letter, an ellipsis and a letter
        return numbers
    return [f"{number}: {_without_middle(labels[i], available)}" for number, i in zip(numbers, indices, strict=True)]


def writer(shown: npt.NDArray[np.float64], fmt: str | None, *, whole: bool) -> Writer:
    """What writes numbers: by a format such as ".2f", else as whole ones, or with two digits after the point.

    Raises:
        InvalidInputError: If the format is none of a number.
    """
    if fmt is not None:
        try:
            format(0.5, fmt)
        except (TypeError, ValueError):
            raise InvalidInputError(f"annot_fmt must be a format of numbers, such as '.2f'; got {fmt!r}") from None
        return lambda number: UNKNOWN if np.isnan(number) else format(number, fmt)
    # Below ten a whole number says little; aggregated counts may lie between two.
    apart = shown[~np.eye(len(shown), dtype=bool) & ~np.isnan(shown)]
    largest = max(apart.max(), -apart.min()) if len(apart) else 0.0  # without a copy, as matrices may be large
    small = 0 < largest < 10 and np.remainder(apart, 1, out=apart).any()  # noqa: PLR2004
    digits = 2 if not whole else 1 if small else 0

    def written(number: float) -> str:
        if np.isnan(number):
            return UNKNOWN
        if digits == 0 and 0 < abs(number) < 0.5:  # noqa: PLR2004  # little is not nothing
            return "<1" if number > 0 else ">-1"
        return rounded(number, digits)

    return written
