"""Writes docs/compatibility.md from what the tests said in each environment: `python docs/make_compatibility.py`.

`make test-oldest` and `make test-newest` put the results there: run in the environment of the tests,
`python docs/make_compatibility.py record NAME JUNIT_XML` keeps their numbers as docs/versions/NAME.json.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

PAGE = Path(__file__).with_name("compatibility.md")
RESULTS = Path(__file__).with_name("versions")
PACKAGES = [
    "gradiend",
    "mlflow",
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "pillow",
]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
COUNTS = ["tests", "failures", "errors", "skipped"]
BEGIN, END = "<!-- written by make_compatibility.py -->\n", "<!-- end -->\n"


def record(name: str, report: Path) -> Path:
    """Keep what a JUnit report of pytest says, with the versions of this environment; returns the file."""
    suites = ET.parse(report).getroot()  # noqa: S314  # pytest has just written it
    counts = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in COUNTS}
    result = {"python": platform.python_version(), "versions": dict(_installed()), **counts}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return file


def page(text: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with a table of the results in the place of the one that it has."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{''.join(_table(results))}{END}{tail}"


def recorded() -> dict[str, dict[str, Any]]:
    """All results, by the name of their environment."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))}


def _table(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """An environment a column, in the order of its Python and its gradiend."""
    names = sorted(results, key=lambda name: (_numbers(results[name]["python"]), name))
    yield _row("", names)
    yield _row("---", ["---"] * len(names))
    yield _row("Python", [results[name]["python"] for name in names])
    for package in PACKAGES:
        yield _row(package, [results[name]["versions"].get(package, "-") for name in names])
    for said, value in (("tests passed", _passed), ("failed", _failed), ("skipped", lambda result: result["skipped"])):
        yield _row(said, [f"{value(results[name]):,}" for name in names])
    run = {".".join(result["python"].split(".")[:2]) for result in results.values()}
    if missing := [python for python in PYTHONS if python not in run]:
        yield f"\nNo numbers here: Python {', '.join(missing)}.\n"


def _passed(result: Mapping[str, Any]) -> int:
    return int(result["tests"]) - _failed(result) - int(result["skipped"])


def _failed(result: Mapping[str, Any]) -> int:
    return int(result["failures"]) + int(result["errors"])


def _row(head: str, cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, [head, *cells]))} |\n"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(".") if number.isdigit())


def _installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package).partition("+")[0]
        except PackageNotFoundError:
            continue


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        record(sys.argv[2], Path(sys.argv[3]))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), recorded()), encoding="utf-8")
