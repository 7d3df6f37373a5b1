"""Letters that the font of a figure does not have: in another font that is installed, else as a box, said once."""

from __future__ import annotations

import re
import string
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist

_BOX = "□"
_INVISIBLE = ("Cf", "Mn")  # joiners and selectors of variants: nothing is lost without them


def drawable(text: str) -> str:
    """The text, with a box for each letter that no installed font has."""
    lacking = {letter for letter, family in _families_of(text).items() if family is None}
    invisible = {letter for letter in lacking if unicodedata.category(letter) in _INVISIBLE}
    _warn(frozenset(lacking - invisible))
    return "".join("" if x in invisible else _BOX if x in lacking else x for x in text)


def families(*texts: str) -> list[str]:
    """Font families that together have every letter of the texts that any font has: the current ones first."""
    others = {family for family in _families_of("".join(texts)).values() if family}
    return [*_current(), *sorted(others - {*_current()})]


def spell_out(drawn: Artist) -> None:
    """Give each text that is drawn the fonts that it needs; no setting of matplotlib is changed."""
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    for axes in drawn.findobj(Axes):
        _ = [*axes.get_xticklabels(), *axes.get_yticklabels()]  # a tick has no text before it is asked for it
    for text in drawn.findobj(Text):
        if not text.get_text().isascii():
            text.set_fontfamily(families(text.get_text()))


def _current() -> tuple[str, ...]:
    import matplotlib as mpl

    return tuple(mpl.rcParams["font.family"])


def _families_of(text: str) -> dict[str, str | None]:
    """The family to draw each letter with: the current one if it has it, else an installed one, else none."""
    known = _known(_current())
    missing = {letter for letter in text if not letter.isspace()} - {*known}
    if missing:
        known |= _looked_up(missing)
    return {letter: known[letter] for letter in text if not letter.isspace()}


@cache
def _known(current: tuple[str, ...]) -> dict[str, str | None]:
    """What was looked up already; the letters that nearly all labels consist of need no looking up."""
    return dict.fromkeys(string.printable, current[0])


def _looked_up(letters: set[str]) -> dict[str, str | None]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    found: dict[str, str | None] = dict.fromkeys(letters)
    current = list(_current())
    candidates = [(current[0], findfont(FontProperties(family=current))), *_installed()]
    for family, file in candidates:
        wanted = [letter for letter in letters if found[letter] is None]
        if not wanted:
            break
        try:
            font = get_font(file)
        except (OSError, RuntimeError):  # removed since, or no outlines
            continue
        if font.scalable:
            found |= {letter: family for letter in wanted if font.get_char_index(ord(letter))}
    return found


def _installed() -> list[tuple[str, str]]:
    """A file of each family that is installed, the most regular one.

    Those that come with matplotlib are left out: its boxes, and symbols in the places of other letters.
    """
    import matplotlib as mpl
    from matplotlib.font_manager import fontManager

    own, files = mpl.get_data_path(), dict[str, str]()
    for entry in sorted(fontManager.ttflist, key=lambda entry: entry.weight not in (400, "normal", "regular")):
        if entry.style == "normal" and not entry.fname.startswith(own):
            files.setdefault(entry.name, entry.fname)
    return sorted(files.items())


@cache
def _warn(letters: frozenset[str]) -> None:
    """Once for the same letters: a figure would say it for each of them, whenever it is drawn."""
    if letters:
        shown = "".join(sorted(letters))
        warnings.warn(
            f"no installed font has {shown[:20]}{'…' if len(shown) > 20 else ''}, so {_BOX} is drawn; "  # noqa: PLR2004
            "install one that does, such as Noto Sans CJK or Noto Emoji",
            stacklevel=2,
        )


LONGEST_LABEL = 40
_CONTEXT = 12  # letters of the word before what differs


def shortened(labels: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """The labels in at most so many letters each, never two alike.

    Those that fit stay as they are, the others lose their middle. Where that makes some the same, they keep what
    differs among them instead, with their beginning before it; where that is not enough, their number is before them.

    Args:
        labels: Any number of labels, which are told apart by their number where they are the same themselves.
        longest: How many letters a label may have; at least 6, which is room for a number.

    Example:
        >>> shortened([f"a long name of an experiment, seed {n}, of all its weights" for n in (1, 12)], 20)
        ['a long name…seed 1…', 'a long name…seed 12…']
    """
    short = [_without_middle(label, longest) for label in labels]
    for same in _clashes(short):
        for index, label in zip(same, _differing([labels[index] for index in same], longest), strict=True):
            short[index] = label
    for same in _clashes(short):
        for index in same:
            short[index] = _numbered(index, labels[index], longest)
    if _clashes(short):  # another label begins with such a number
        return [_numbered(index, label, longest) for index, label in enumerate(labels)]
    return short


def _clashes(labels: Sequence[str]) -> list[list[int]]:
    """The places of labels that are the same."""
    counts = Counter(labels)
    return [[i for i, other in enumerate(labels) if other == label] for label, n in counts.items() if n > 1]


def _without_middle(label: str, longest: int) -> str:
    """Beginning and end, which tell most labels apart."""
    if len(label) <= longest:
        return label
    end = longest // 2
    return f"{label[: longest - end - 1]}…{label[-end:]}"


def _differing(labels: Sequence[str], longest: int) -> list[str]:
    """Each label without what all end with, and as much as there is room for of what all begin with."""
    if max(map(len, labels)) <= longest:
        return list(labels)  # one of them looks as if it were shortened
    start = _alike(labels)
    end = _alike([label[start:][::-1] for label in labels])
    common = labels[0][:start], labels[0][len(labels[0]) - end :]
    # Whole words, and the one before: "seed 12" says more than "2".
    before, after = re.search(r"(\w+\s+)?[^\s,;:/|&]*$", common[0]), re.match(r"\w*", common[1])
    kept = [before.group() if before else "", after.group() if after else ""]
    kept = [part if len(part) <= _CONTEXT else "" for part in kept]
    start, end = start - len(kept[0]), end - len(kept[1])
    middles = [label[start : len(label) - end] for label in labels]
    head = max(min(longest - max(map(len, middles)) - 2, start), 0)
    beginning = labels[0][:head].rstrip(" ,;:/|&_-")
    result = []
    for middle in middles:
        opening = f"{beginning}…" if start > head else labels[0][:start]
        closing = "…" if end else ""
        result.append(opening + _without_middle(middle, longest - len(opening) - len(closing)) + closing)
    return result


def _alike(labels: Sequence[str]) -> int:
    """How many letters all begin with."""
    first, last = min(labels), max(labels)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _numbered(index: int, label: str, longest: int) -> str:
    number = f"{index + 1}: "
    room = longest - len(number)
    return number + _without_middle(label, room) if room > 2 else number[:-2]  # noqa: PLR2004


def fitting(labels: Iterable[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels in one line each that leave room for the figure, and can still be told apart (`shortened`).

    Dollar signs are escaped: between two of them matplotlib would read a formula. Letters that no font has are boxes.
    """
    lines = [drawable(" ".join(label.split())) for label in labels]
    return [line.replace("$", r"\$") for line in shortened(lines, longest)]


def wrapped(label: str, width: int) -> str:
    """A label in lines of about so many letters, broken between words, or at signs that join words."""
    lines = [""]
    for piece in _pieces(label):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def _pieces(label: str) -> list[str]:
    pieces = [""]
    for letter in label:
        pieces[-1] += letter
        if letter in " _-/,.":
            pieces.append("")
    return pieces
