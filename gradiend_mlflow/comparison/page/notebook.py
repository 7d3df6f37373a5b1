"""What a notebook shows of a comparison: a picture that any background suits, pairs, what was skipped, a link."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import pandas as pd

from gradiend_mlflow.display.results import html_list, html_table, html_text
from gradiend_mlflow.overlap.measures import Value
from gradiend_mlflow.wording import by_reason

MOST_DRAWN = 500  # runs
_GRAY = "#7a7a7a"  # can be read on white and on black
_DPI = 192
_PIXELS = 96  # of a browser, per inch
_COLUMNS = ["intersection", "expected", "lift", "p_value"]  # beside the value and the spread of seeds
_NOT_SHARES = {"intersection", "expected", "lift", "p_value", "q_value", "seed_pairs"}


@contextmanager
def on_any_background() -> Iterator[None]:
    """Figures that are begun here have no background, and text that can be read on a dark one and on a light one."""
    import matplotlib as mpl

    settings: dict[Any, Any] = dict.fromkeys(
        ["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"], _GRAY
    )
    # What is mixed with the background is mixed with the same gray.
    settings |= {"figure.facecolor": "none", "savefig.facecolor": "none", "axes.facecolor": _GRAY}
    with mpl.rc_context(settings):
        yield


def html_picture(figure: Any, alternative: str) -> str:
    """A figure as a picture in the text itself, of the size that it has on paper."""
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, transparent=None)
    with Image.open(drawn) as image:
        image.quantize(256, method=Image.Quantize.FASTOCTREE).save(packed, format="png", optimize=True)
        width = round(image.width * _PIXELS / _DPI)
    data = base64.b64encode(packed.getvalue()).decode()
    style = f"width: {width}px; max-width: 100%; height: auto"
    return f'<img alt="{escape(alternative)}" style="{style}" src="data:image/png;base64,{data}">'


def html_pairs(pairs: pd.DataFrame, value: Value) -> str:
    """The most overlapping pairs."""
    spread = [name for name in pairs.columns[2:] if name not in {value, *_NOT_SHARES}]
    shown = ["a", "b", *dict.fromkeys([value, *spread, *_COLUMNS])]
    percent = {value, *spread} - {"intersection"}
    return html_table(pairs[[name for name in shown if name in pairs]], percent=percent)


def html_skipped(skipped: Sequence[tuple[str, str]]) -> str:
    """Runs that are not compared, by name and reason; nothing for none."""
    lines = [f"{names}: {reason}" for names, reason in by_reason(skipped)]
    return html_text(f"Skipped, {len(skipped):,} of the runs asked for:") + html_list(lines) if lines else ""
