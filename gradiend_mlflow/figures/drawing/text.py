"""Labels as figures show them: on one line, short, in letters that the fonts have, and never two alike."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

from gradiend_mlflow.wording import some_of, visible

LONGEST_LABEL = 40
_CONTEXT = 12  # letters that are kept beside a difference, at most


def single_line(labels: Iterable[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels on one line each, shortened to fit a figure (`shortened`), for matplotlib to take literally.

    Dollar signs are escaped: matplotlib would read what stands between two of them as a formula.
    """
    lines = [visible(" ".join(label.split())) for label in labels]
    return [line.replace("$", r"\$") for line in shortened(lines, longest)]


def wrapped(label: str, width: int) -> str:
    """A label in lines of about `width` letters, broken after spaces and _ - / , . but not within numbers."""
    lines = [""]
    for piece in re.split(r"(?<=[ _\-/])|(?<=[,.])(?!\d)", label):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def warn_of_missing_letters(strings: Iterable[str], stacklevel: int = 2) -> None:
    """Warn once if none of matplotlib's current font families has some of the letters, and say what to do.

    Matplotlib itself warns of each letter by its number, whenever the figure is drawn, and names no remedy.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = FontProperties().get_family()
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in families]
    letters = {letter for letter in "".join(strings) if not letter.isspace()}
    missing = sorted(letter for letter in letters if not any(font.get_char_index(ord(letter)) for font in fonts))
    if missing:
        warnings.warn(
            f"the font {', '.join(families)} does not have {', '.join(some_of(missing))}, so boxes are drawn: list a "
            "font that does, such as matplotlib.rcParams['font.family'] = ['DejaVu Sans', 'Noto Sans CJK JP']",
            stacklevel=stacklevel + 1,
        )


def shortened(labels: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """The labels in at most `longest` letters each, never two alike.

    Labels that fit stay as they are; the others lose their middle. Labels that this makes alike keep their beginning
    and the part in which they differ instead. Labels that are still alike are numbered.

    Args:
        labels: Any number of labels, also equal ones.
        longest: The number of letters that a label may have; at least 6, so that numbers fit.

    Example:
        >>> shortened([f"a long name of an experiment, seed {n}, of all its weights" for n in (1, 12)], 20)
        ['a long name…seed 1…', 'a long name…seed 12…']
    """
    short = [_without_middle(label, longest) for label in labels]
    for rewritten in (_differences, _numbered):
        for alike in _clashes(short):
            for index, label in zip(alike, rewritten(labels, alike, longest), strict=True):
                short[index] = label
    # Another label may begin with such a number.
    return _numbered(labels, range(len(labels)), longest) if _clashes(short) else short


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
