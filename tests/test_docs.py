"""What the documents say, held to the code."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import gradiend_mlflow

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gradiend_mlflow"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_exist(document: Path) -> None:
    """Relative links and pictures lead somewhere."""
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_documents_is_code_that_is_there(document: Path) -> None:
    """Every block parses, and every public name in it exists."""
    text = document.read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        compile(block, str(document), "exec")
        for name in re.findall(r"gradiend_mlflow\.(\w+)", block):
            assert hasattr(gradiend_mlflow, name), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_in_documents_are_true(document: Path) -> None:
    """Every console block runs, one after the other, and prints what the document says."""
    assert _failures(document.read_text(encoding="utf-8")) == ""


def test_a_wrong_example_would_be_noticed() -> None:
    """The same page with one number changed."""
    text = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    assert "0.875" in text
    assert "0.876" in _failures(text.replace("0.875", "0.876"))


def _failures(text: str) -> str:
    """What the examples of a document do not print as it says."""
    blocks = re.findall(r"```pycon\n(.*?)```", text, flags=re.DOTALL)
    page = doctest.DocTestParser().get_doctest("".join(blocks), {}, "document", None, 0)
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags).run(page, out=report.append)
    return "".join(report)


def test_design_names_files_that_are_there() -> None:
    """Every folder has its line, and every file that the page names exists."""
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    for folder in {file.partition("/")[0] for file in files if "/" in file}:
        assert f"\n{folder}/" in design or f"| {folder}/" in design, folder
    for named in re.findall(r"[\w/]+\.py\b", design):
        assert any(file == named or file.endswith(f"/{named}") for file in files) or (ROOT / named).exists(), named


def test_quickstart_explains_itself(run_python: Callable[[str], str]) -> None:
    """`--help` names its options."""
    script = f"import sys, runpy; sys.argv = ['quickstart.py', '--help']; runpy.run_path({str(ROOT / 'examples/quickstart.py')!r}, run_name='__main__')"  # noqa: E501
    assert "--model MODEL" in run_python(script)
