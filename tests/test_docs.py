"""What the documents say, held to the code."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from check_release import faults
from make_compatibility import PAGE, page, recorded

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


def test_the_reference_has_every_public_name() -> None:
    """Each once, from where it is defined."""
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    referred = re.findall(r"^::: (.+)$", reference, flags=re.MULTILINE)
    public = {name: getattr(gradiend_mlflow, name) for name in gradiend_mlflow.__all__ if name != "__version__"}
    assert sorted(path.rpartition(".")[2] for path in referred) == sorted(public)
    for path in referred:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name) is public[name], path


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Every page is in its navigation, and no place that a link names is missing."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    built = {file.stem for file in (tmp_path / "site").glob("*.html")}
    assert built == {document.stem for document in DOCUMENTS} - {"README"} | {
        "index",
        "contributing",
        "changelog",
        "404",
    }
    assert "Raises:" in (tmp_path / "site" / "reference.html").read_text(encoding="utf-8")


def test_a_release_that_is_not_ready_is_told(tmp_path: Path) -> None:
    """Another version in the changelog, entries that belong to none, a wheel of before."""
    (tmp_path / "pyproject.toml").write_text('version = "0.2.0"\n', encoding="utf-8")
    changes = tmp_path / "CHANGELOG.md"
    changes.write_text("## [Unreleased]\n\n- more\n\n## [0.1.0]\n\n- new\n", encoding="utf-8")
    citation = tmp_path / "CITATION.cff"
    citation.write_text("cff-version: 1.2.0\nversion: 0.1.0\n", encoding="utf-8")
    (tmp_path / "build" / "dist").mkdir(parents=True)
    (tmp_path / "build" / "dist" / "gradiend_mlflow-0.1.0-py3-none-any.whl").touch()
    assert [fault.partition(" ")[0] for fault in faults(tmp_path)] == [
        *("CHANGELOG.md", "CHANGELOG.md", "CITATION.cff"),
        "gradiend_mlflow-0.1.0-py3-none-any.whl",
    ]
    citation.write_text("cff-version: 1.2.0\nversion: 0.2.0\n", encoding="utf-8")
    changes.write_text("## [Unreleased]\n\n## [0.2.0]\n\n- new\n", encoding="utf-8")
    (tmp_path / "build" / "dist" / "gradiend_mlflow-0.1.0-py3-none-any.whl").unlink()
    assert faults(tmp_path) == []


def test_the_readme_is_short() -> None:
    """What takes longer has a page of its own."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 90


def test_quickstart_explains_itself(run_python: Callable[[str], str]) -> None:
    """`--help` names its options."""
    script = f"import sys, runpy; sys.argv = ['quickstart.py', '--help']; runpy.run_path({str(ROOT / 'examples/quickstart.py')!r}, run_name='__main__')"  # noqa: E501
    assert "--model MODEL" in run_python(script)


def test_compatibility_is_what_was_recorded() -> None:
    """`python docs/make_compatibility.py` writes it; a failed test would be seen there."""
    text = PAGE.read_text(encoding="utf-8")
    results = recorded()
    assert page(text, results) == text
    assert {"oldest", "newest"} <= results.keys()
    worse = {name: result | {"failures": 3} for name, result in results.items()}
    assert f"| failed | {' | '.join(['3'] * len(results))} |" in page(text, worse)
