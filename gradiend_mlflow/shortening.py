"""Labels that fit and can still be told apart: all of a figure's labels are shortened together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

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
