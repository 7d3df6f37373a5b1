"""What a terminal and a notebook show of a result: a line, and HTML in the notebook's own colors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.wording import PROBABILITIES, probability, shorten, some_of, visible
from gradiend_mlflow.wording import percent as in_percent

MOST_ROWS = 10
MOST_COLUMNS = 12
_MOST_LETTERS = 60  # of a cell


class Shown:
    """A result that a terminal shows in a line, and a notebook as a table, in the notebook's own colors."""

    def _line(self) -> str:
        """What it is, in a line."""
        raise NotImplementedError

    def _headline(self) -> str:
        """What a notebook says of it first."""
        return repr(self)

    def _html(self) -> Iterator[str]:
        """What a notebook shows below that, as pieces of HTML."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({visible(self._line())})"

    def _repr_html_(self) -> str:
        # Notebooks set what stands between dollars as formulas, unless they are told not to.
        pieces = [html_text(self._headline(), strong=True), *self._html()]
        return f'<div class="tex2jax_ignore mathjax_ignore">{"".join(pieces)}</div>'


def html_text(text: str, *, strong: bool = False) -> str:
    """A paragraph of HTML, with whatever others have written in it.

    Example:
        >>> html_text("a <b> & c")
        '<p>a &lt;b&gt; &amp; c</p>'
    """
    said = escape(visible(text))
    return f"<p><strong>{said}</strong></p>" if strong else f"<p>{said}</p>"


def html_list(lines: Sequence[str]) -> str:
    """A list of lines; nothing for none."""
    return f"<ul>{''.join(f'<li>{escape(visible(line))}</li>' for line in some_of(lines))}</ul>" if lines else ""


def html_table(
    frame: pd.DataFrame,
    *,
    index: bool = False,
    percent: Collection[str] = (),
    most: int = MOST_ROWS,
    of: int | None = None,
) -> str:
    """The first rows of a frame, and how many more there are.

    Args:
        frame: Of numbers and texts.
        index: Whether to show the index.
        percent: Columns of shares, which are shown in percent.
        most: How many rows.
        of: How many rows there are in all, if the frame does not have them.
    """
    shown = frame.head(most)
    columns = list(map(str, shown.columns))
    cells = [
        [
            probability(cell) if name in PROBABILITIES and not pd.isna(cell) else _cell(cell, percent=name in percent)
            for name, cell in zip(columns, row, strict=True)
        ]
        for row in shown.itertuples(index=False, name=None)
    ]
    rows = [shorten(str(label), _MOST_LETTERS) for label in shown.index]
    texts = pd.DataFrame(cells, index=rows, columns=[shorten(name, _MOST_LETTERS) for name in columns], dtype=object)
    with pd.option_context("display.max_colwidth", None):
        table = str(texts.to_html(index=index, border=0, justify="right"))
    rest = (len(frame) if of is None else of) - len(shown)
    return table + (html_text(f"and {rest:,} more") if rest > 0 else "")


def html_facts(facts: Mapping[str, str]) -> str:
    """What is known of one thing: a row for each name, all of them."""
    return html_table(pd.DataFrame({"": list(facts.values())}, index=list(facts)), index=True, most=len(facts))


def html_link(page: str | None) -> str:
    """A link to a page of MLflow's UI, behind which may stand how to start it in parentheses; nothing for None."""
    if page is None:
        return ""
    address, _, how = page.partition(" ")
    link = f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(address)}</a>'
    command = re.sub("`(.*)`", r"<code>\1</code>", escape(how))
    return f"<p>In MLflow: {link} {command}</p>"


def _cell(cell: Any, *, percent: bool) -> str:
    if isinstance(cell, tuple):
        return shorten(f"({', '.join(_cell(one, percent=percent) for one in cell)})", _MOST_LETTERS)
    if pd.isna(cell):
        return ""
    if isinstance(cell, (str, bool, np.bool_)):
        return shorten(str(cell), _MOST_LETTERS)
    if isinstance(cell, Integral):
        return f"{cell:,}"
    return in_percent(cell) if percent else f"{cell:.3g}"
