"""Letters that the font of a figure does not have: in another font that is installed, else as a box, said once."""

from __future__ import annotations

import string
import unicodedata
import warnings
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
