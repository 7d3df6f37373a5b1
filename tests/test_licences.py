"""This package is Apache-2.0: what it needs may not put its users under stricter terms."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

# What each direct dependency says of its licence, once somebody has read it. A new dependency fails until somebody
# has, and so does an old one that says something new.
READ = {
    "click": "BSD-3-Clause",
    "filelock": "MIT",
    "gradiend": "Apache",
    "jinja2": "BSD",
    "lazy-loader": "BSD-3-Clause",
    "matplotlib": "Python Software Foundation",
    "mlflow": "Apache",
    "numpy": "BSD-3-Clause",
    "pandas": "BSD",
    "pillow": "MIT-CMU|HPND",
    "platformdirs": "MIT",
    "pyarrow": "Apache",
    "requests": "Apache",
    "safetensors": "Apache",
    "scipy": "BSD",
    "shapely": "BSD",
    "torch": "BSD-3-Clause",
    "tqdm": "MIT",  # with files under MPL-2.0, which binds changes of those files alone
    "urllib3": "MIT",
}
# Terms that reach beyond the files they stand in, or forbid uses. "PSF" and the like have none.
STRICTER = re.compile(r"\b(A?GPL|LGPL|GNU|SSPL|BUSL|Commons Clause|EUPL|CC-BY-(NC|ND|SA)|proprietary)", re.IGNORECASE)


def dependencies() -> list[str]:
    """The names under `dependencies` in pyproject.toml."""
    listed = PYPROJECT.read_text(encoding="utf-8").partition("\ndependencies = [")[2].partition("\n]")[0]
    return [re.sub(r"[<>=!~;\[ ].*", "", line.strip(' ",')).lower() for line in listed.strip().splitlines()]


def said(name: str) -> str:
    """What a package's metadata say of its licence: the expression, the first line of the text, the classifiers."""
    fields = metadata(name)
    texts = [fields.get("License-Expression"), (fields.get("License") or "").strip().partition("\n")[0]]
    return " | ".join(
        [text for text in texts if text] + [c for c in fields.get_all("Classifier", []) if "License ::" in c]
    )


def test_every_dependency_has_been_read() -> None:
    """And nothing is in the table that is no longer needed."""
    assert sorted(dependencies()) == sorted(READ)


@pytest.mark.parametrize("name", sorted(READ))
def test_licences_are_permissive(name: str) -> None:
    """Each says what it said when it was read, and nothing that goes beyond."""
    assert re.search(rf"\b({READ[name]})\b", said(name)), said(name)
    assert not STRICTER.search(said(name)), said(name)


@pytest.mark.parametrize(
    "text",
    ["GPLv3", "GNU Lesser General Public License v2 (LGPLv2)", "AGPL-3.0-only", "LGPL-2.1-or-later", "BUSL-1.1"],
)
def test_a_stricter_licence_would_be_noticed(text: str) -> None:
    """As one was, of a package that drew Venn diagrams."""
    assert STRICTER.search(text)
    assert not STRICTER.search("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0")
