"""What names, labels and errors may do to terminals, spreadsheets, LaTeX and figures: nothing."""

from __future__ import annotations

import csv
import io
import logging
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import StoreError, TopKSet, compare, compute_overlap, log_topk, plot_heatmap
from gradiend_mlflow.cli import main
from gradiend_mlflow.comparison.said.description import description_of
from gradiend_mlflow.comparison.tables import latex_of
from gradiend_mlflow.errors import GradiendMLflowError, logger
from gradiend_mlflow.figures.drawing.text import literal
from gradiend_mlflow.wording import csv_of, visible
from tests.support.checkpoints import make_model

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1+1", "''=1", '=HYPERLINK("http://x","y")', "\uff1d1", "-\t1"]
PLAIN = r"(?<!\\)(?:\\\\)*"  # before what Markdown does not take literally
ACTING = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\u202egnp.exe", "\u2066x", "\u200fx", "\x00", "\x7f"]


class TestCSV:
    """`to_csv`, and the files of a run."""

    @pytest.mark.parametrize("text", FORMULAS)
    def test_no_formula(self, text: str) -> None:
        """In cells, headers and the index; without the apostrophe each is what it was."""
        frame = pd.DataFrame({"run": [text], text: [-0.5]}, index=[text])
        header, row = csv.reader(io.StringIO(csv_of(frame, index=True), newline=""))
        assert (header[2], row[0], row[1]) == (f"'{visible(text)}",) * 3
        assert float(row[2]) == -0.5

    @given(st.lists(st.text(max_size=5), min_size=1, unique_by=visible), st.floats(allow_nan=False))
    def test_it_is_read_back(self, texts: list[str], number: float) -> None:
        """Each text, but for its control characters, and each number; and no cell begins like a formula."""
        frame = pd.DataFrame({"run": texts, "value": number})
        rows = list(csv.reader(io.StringIO(csv_of(frame), newline="")))[1:]
        for (cell, value), text in zip(rows, texts, strict=True):
            assert not cell.startswith(tuple("=+-@\t\r\n"))
            assert visible(text) in (cell, cell[1:])
            assert float(value) == number
        assert len({cell for cell, _ in rows}) == len(texts)

    def test_numbers_stay_numbers(self) -> None:
        """Also missing ones, integers that may be missing, and truth."""
        frame = pd.DataFrame({"a": [-1.5, float("nan")], "b": pd.array([-1, None], dtype="Int64"), "c": [True, False]})
        assert csv_of(frame) == "a,b,c\n-1.5,-1,True\n,,False\n"


def clear(text: str) -> bool:
    """Whether nothing in a text acts on a terminal."""
    return all(line.isprintable() for line in text.split("\n"))


class TestTerminal:
    """Errors, log lines, and what commands print."""

    @pytest.mark.parametrize("text", ACTING)
    def test_errors_and_log_lines(self, text: str, caplog: pytest.LogCaptureFixture) -> None:
        """Whoever raises or logs; line breaks of our own stay."""
        assert clear(str(StoreError(f"no run {text}\nor others")))
        assert "\n" in str(GradiendMLflowError(f"no run {text}\nor others"))
        with caplog.at_level(logging.WARNING, logger="gradiend_mlflow"):
            logger.warning("Of %s asked for, %d", text, 3)
        assert clear(caplog.messages[-1])
        assert caplog.messages[-1].endswith("asked for, 3")

    @given(st.text())
    def test_what_is_visible_is_one_line(self, text: str) -> None:
        """And text without such characters stays as it is."""
        shown = visible(text)
        assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
        shown.encode("utf-8")
        assert visible(shown) == shown
        if text.isprintable():
            assert shown == text

    def test_compare(self, tracking: MlflowClient) -> None:
        """The command prints labels, skipped runs and notes, and logs a comparison whose texts are as harmless."""
        ids = []
        for index, name in enumerate(("=\x1b[2Jone", "[\u202etwo")):
            run_id = tracking.create_run("0", run_name=name).info.run_id
            log_topk(make_model([("layer.0.\x1b[31mquery", (20, 5), "all")], seed=index), run_id=run_id)
            tracking.set_terminated(run_id)
            ids.append(run_id)
        running = tracking.create_run("0", run_name="\x1b[1mrunning").info.run_id
        done = CliRunner().invoke(main, ["compare", *ids, running, "--topk", "10", "--labels", "run_name"])
        assert done.exit_code == 0, done.output
        assert clear(done.output)
        assert "\\x1b[2Jone" in done.output
        comparison = compare(ids, topk=10, labels="run_name", log=False)
        assert all(map(clear, [*comparison.matrix, *comparison.notes, comparison.to_latex(table="matrix")]))
        assert comparison.to_csv().splitlines()[1].startswith("'=\\x1b[2Jone,[\\u202etwo,")
        logged = gradiend_mlflow.search_runs(kinds="comparison").iloc[0]
        assert clear(logged["run_name"])
        matrix = Path(logged["artifact_uri"].removeprefix("file://"), "matrix.csv").read_text(encoding="utf-8")
        assert matrix.startswith(",'=\\x1b[2Jone,")
        assert clear(compare_error(ids))


def compare_error(ids: list[str]) -> str:
    """The error about a label that one of the runs does not have."""
    with pytest.raises(GradiendMLflowError) as raised:
        compare(ids, labels="tags.\x1b[2J", log=False)
    return str(raised.value)


class TestLaTeX:
    """Rows of a tabular."""

    @pytest.mark.parametrize(
        ("label", "written"),
        [
            ("[1ex]", "{}[1ex]"),
            ("[", "{}["),
            ("*[2cm]", "{}*[2cm]"),
            ("a & b", r"a \& b"),
            ("100%", r"100\%"),
            ("$x$", r"\$x\$"),
            ("#1", r"\#1"),
            ("a_b", r"a\_b"),
            ("{x}", r"\{x\}"),
            ("~", r"\textasciitilde{}"),
            ("^", r"\textasciicircum{}"),
            (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
            ("\\\\[1ex]", r"\textbackslash{}\textbackslash{}[1ex]"),
        ],
    )
    def test_labels_are_text(self, label: str, written: str) -> None:
        """In the first cell of a row, where LaTeX would look for an option, and in every other."""
        lines = latex_of(pd.DataFrame({"a": [label], "b": [label], "value": [0.5]})).splitlines()
        row = lines[lines.index(r"\midrule") + 1]
        assert [cell.strip() for cell in row.removesuffix(r"\\").split(" & ")] == [
            written.strip(),
            written.strip(),
            "0.500",
        ]
        assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]

    def test_in_a_matrix(self) -> None:
        """Labels are headers there, too."""
        sets = {name: TopKSet.from_indices([1, 2], space=5) for name in ("[x]", "&%$#_{}~^\\")}
        frame = compute_overlap(sets).to_frame()
        text = latex_of(frame.rename_axis("run").reset_index())
        assert text.count(r"\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}") == 2
        assert "\n{}[x] & " in text
        assert r"\\" + "\n[" not in text


def test_figures_show_escapes() -> None:
    """Whoever gave the labels."""
    sets: dict[str, Any] = {text + str(i): TopKSet.from_indices([i, i + 1], space=50) for i, text in enumerate(ACTING)}
    ax = plot_heatmap(compute_overlap(sets)).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    plt.close("all")
    assert len(set(labels)) == len(sets)
    assert all(map(clear, labels))


def test_labels_are_no_commands_of_latex() -> None:
    """Where matplotlib is told to set its texts with LaTeX, which could read files."""
    label = r"3SG_3PL \input{/etc/passwd} $x^$"
    assert literal(label) == r"3SG_3PL \input{/etc/passwd} \$x^\$"
    with plt.rc_context({"text.usetex": True}):
        assert literal(label) == r"3SG\_3PL \textbackslash{}input\{/etc/passwd\} \$x\textasciicircum{}\$"


def test_labels_in_markdown_are_text(tracking: MlflowClient) -> None:
    """On the page of a comparison's run a label is no element, no link, and no cell or line of its own."""
    ids = []
    for index in range(2):
        name = f"{index} <img src=x onerror=y> [x](http://evil.example) | \\[x](http://y) \\| b\n# title"
        run_id = tracking.create_run("0", run_name=name).info.run_id
        log_topk(make_model([("layer.0.query", (20, 5), "all")], seed=index), run_id=run_id)
        tracking.set_terminated(run_id)
        ids.append(run_id)
    names = ("# title &lt;b>", "1. item", "> ~~quote~~", "- item")
    ids += [tracking.create_run("0", run_name=name).info.run_id for name in names]
    lines = description_of(compare(ids, topk=10, labels="run_name", log=False)).splitlines()
    skipped = [line[: line.index(" (")] for line in lines if line.startswith("* ") and "RUNNING" in line]
    assert skipped == [r"* \# title &amp;lt;b>", r"* 1\. item", r"* \> \~\~quote\~\~", r"* \- item"]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 3
    assert len({len(re.findall(rf"{PLAIN}\|", line)) for line in table}) == 1
    assert not any(re.search(rf"{PLAIN}\]\(http", line) for line in lines)
    assert not any("<img" in line or line.startswith("#") for line in lines)
