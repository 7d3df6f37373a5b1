"""What a terminal and a notebook show of every public result."""

from __future__ import annotations

import inspect
import re
from dataclasses import is_dataclass, replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gradiend_mlflow
from gradiend_mlflow import (
    CacheUse,
    Comparison,
    ExportedDataset,
    OverlapBlocks,
    RunDescription,
    TopKSet,
    compute_overlap,
)
from gradiend_mlflow.comparison.chosen.selection import Skipped
from gradiend_mlflow.display.results import Shown, html_list, html_table
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from tests.support.comparisons import comparison_of

HOSTILE = '<img src=x onerror="alert(1)">\x1b[31m\u202e$x${}'
BIG = 300
RUNS_OF_BLOCKS = pd.DataFrame(
    {"run": [HOSTILE, "b"], "run_name": [HOSTILE, None], "experiment": [HOSTILE, HOSTILE], "size": [10, 10]}
)
DESCRIBED = RunDescription(
    *("f" * 32, HOSTILE, "training", "FINISHED", HOSTILE, datetime(2026, 1, 2, 3, 4), datetime(2026, 1, 2, 3, 5)),
    about={HOSTILE: HOSTILE},
    results={"best/correlation": 0.91},
    sets={"decoder-weight": 1000},
    left_out={"encoder-weight": HOSTILE},
    source_runs=(HOSTILE,),
    page="http://host:5000/#/experiments/1/runs/2",
    start_ui=None,
)


def comparison(n: int = 4, label: str = HOSTILE) -> Comparison:
    """Of labels, groups, notes and reasons that would be HTML, if they were not shown as text."""
    labels = [label.format(row) for row in range(n)]
    made = comparison_of(
        n,
        label=label,
        groups={one: f"<b>{row % 2}</b>" for row, one in enumerate(labels)},
        notes=("<script>note</script>",),
        skipped=(Skipped("1", "<i>x</i>", "<u>why</u>"), Skipped("2", "<i>y</i>", "<u>why</u>")),
        anatomy=Anatomy(None, 10, dict.fromkeys(range(10), "<td>")),
        run_id="f" * 32,
        page="http://host:5000/#/experiments/1/runs/2?a='>&b (start `mlflow ui <x>`)",
    )
    return replace(made, runs=made.runs.assign(converged=True))


def results(made: Comparison) -> list[Any]:
    """One of each kind."""
    seeds = comparison_of(3, seeds=2, aggregate="mean")
    neurons = compute_overlap(made.sets, unit="neuron")
    return [
        *(made, replace(seeds, runs=seeds.runs.assign(converged=True)), seeds.seed_overlap, made.overlap, neurons),
        *(next(iter(made.sets.values())), made.test_groups(), made.overlap_curve(), made.by_layer(), made.chance()),
        *(
            made.map(),
            made.overlap.difference(made.overlap),
            made.overlap.ties,
            DESCRIBED,
            CacheUse(Path("<b>"), 2, 9, 10, None),
            ExportedDataset("<b>", 1, 2, 2, 0, (Skipped(HOSTILE, HOSTILE, HOSTILE),)),
            OverlapBlocks("<b>", "decoder-weight", 10, RUNS_OF_BLOCKS, 2, (Skipped(HOSTILE, HOSTILE, HOSTILE),)),
        ),
    ]


class Tags(HTMLParser):
    """The elements of a piece of HTML, each closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("made", results(comparison()), ids=lambda made: type(made).__name__)
def test_it_is_a_line_and_a_table(made: Any) -> None:
    """The line has no control characters; the HTML has the elements that are ours, no colors, no foreign address."""
    line = repr(made)
    assert line.startswith(type(made).__name__ + "(")
    assert len(line) < 250
    assert line.isprintable()
    html = made._repr_html_()
    tags = Tags(html)
    ours = {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "img", "a", "code"}
    assert set(tags.names) <= ours
    assert "table" in tags.names
    assert not tags.open
    assert ("img" in tags.names) == isinstance(made, Comparison)
    assert ("a" in tags.names) == (getattr(made, "page", None) is not None)
    assert not re.search(r"color|background|<link|url\(|\x1b|\u202e", re.sub(r'base64,[^"]*', "", html))
    assert set(re.findall(r'(?:src|href)="([^:"]*):', html)) <= {"data", "http"}
    assert html.startswith('<div class="tex2jax_ignore')
    assert len(html) < 100_000


def test_every_public_result_has_both() -> None:
    """Of the public classes that hold results, so that none is forgotten."""
    classes = [getattr(gradiend_mlflow, name) for name in gradiend_mlflow.__all__]
    found = {one for one in classes if inspect.isclass(one) and is_dataclass(one)}
    without = {one.__name__ for one in found if not issubclass(one, Shown)}
    assert without == {"SeedPolicy", "Skipped", "WeightSpace"}
    assert {type(one).__name__ for one in results(comparison())} >= {one.__name__ for one in found} - without


def test_a_comparison_says_the_answer() -> None:
    """In a line, and in a notebook with picture, pairs, notes, what was skipped, and where it is."""
    made = comparison(6, "run {}")
    matrix = made.matrix.to_numpy()[np.triu_indices(6, k=1)]
    assert f"6 runs, decoder-weight, top 20: intersection_frac {matrix.mean():.1%} on average, " in repr(made)
    html = made._repr_html_()
    assert f"<strong>Two runs share {matrix.mean():.1%} of their top 20 weights on average</strong>" in html
    assert html.count("<tr") == 11
    assert "<p>and 5 more</p>" in html
    assert "<li>&lt;script&gt;note&lt;/script&gt;</li>" in html
    assert (
        "<p>Skipped, 2 of the runs asked for:</p><ul><li>&lt;i&gt;x&lt;/i&gt;, &lt;i&gt;y&lt;/i&gt;: &lt;u&gt;" in html
    )
    assert '<a href="http://host:5000/#/experiments/1/runs/2?a=&#x27;&gt;&amp;b" ' in html
    assert "(start <code>mlflow ui &lt;x&gt;</code>)" in html


def test_large_results_stay_small() -> None:
    """The first rows and columns, and how many more there are."""
    sets = {f"run {row}": TopKSet.from_indices([row, row + 1, row + 2], space=2 * BIG) for row in range(BIG)}
    overlap = compute_overlap(sets)
    for made in (overlap, overlap.chance(), overlap.overlap_curve(), overlap.map(), overlap.by_param(), overlap.ties):
        assert len(made._repr_html_()) < 20_000
        assert len(repr(made)) < 150
    assert f"and {BIG - 12} more" in overlap._repr_html_()
    assert repr(overlap) == f"Overlap({BIG} sets of 3 weights: run 0, run 1, run 2, and {BIG - 3} more)"


def test_a_single_set_is_no_error() -> None:
    """Nothing to compare it with."""
    overlap = compute_overlap({"a": TopKSet.from_indices([1, 2], space=5)})
    for made in (overlap, overlap.chance(), overlap.overlap_curve(), overlap.by_param(), overlap.ties):
        assert "a" in repr(made)
        assert Tags(made._repr_html_()).open == []


def test_cells_of_every_kind() -> None:
    """Missing ones are empty, numbers are short, texts are cut and escaped."""
    frame = pd.DataFrame(
        {"<n>": [1234567, 2], "x": [0.123456, np.nan], "t": ["<" * 99, None], "b": [True, False], "c": [(1, 2), pd.NA]}
    )
    html = html_table(frame, percent=["x"], index=True)
    cells = re.findall(r"<t[dh]>(.*?)</t[dh]>", html)
    assert cells[:6] == ["", "&lt;n&gt;", "x", "t", "b", "c"]
    assert cells[6:12] == ["0", "1,234,567", "12.3%", "&lt;" * 59 + "…", "True", "(1, 2)"]
    assert cells[12:] == ["1", "2", "", "", "False", ""]
    assert html_list([]) == ""


def test_no_probability_is_zero() -> None:
    """Where it is too small for a float, the smallest one is said; what was not tested is empty."""
    shown = html_table(pd.DataFrame({"p_value": [0.0, 0.03125, np.nan], "lift": [0.0, 1.0, 2.0]}))
    assert re.findall(r"<td>(.*?)</td>", shown) == ["&lt; 2e-308", "0", "0.031", "1", "", "2"]


def test_a_space_is_a_line() -> None:
    """Not its hundreds of parameters."""
    made = comparison(2, "run {}").overlap.space
    assert repr(made) == "WeightSpace(3 parameters, 300 weights)"
    assert repr(replace(made, base_model="b\x1b")) == r"WeightSpace(3 parameters, 300 weights, base_model='b\\x1b')"
