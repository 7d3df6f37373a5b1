"""What must be true before a release: one version everywhere, and what is new in it written down."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def faults(root: Path = ROOT) -> list[str]:
    """What is not as it should be, a sentence each."""
    version = _found(r'^version = "(.+)"', root / "pyproject.toml")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\]", changes, flags=re.MULTILINE)
    found = []
    if version not in sections:
        found.append(f"CHANGELOG.md has no section [{version}], which is pyproject.toml's version; it has {sections}")
    unreleased = changes.partition("## [Unreleased]")[2].partition("\n## [")[0]
    if "\n- " in unreleased:
        found.append("CHANGELOG.md has entries under [Unreleased]: they belong to the version that is released")
    cited = _found(r"^version: (.+)", root / "CITATION.cff")
    if cited != version:
        found.append(f"CITATION.cff has version {cited}; pyproject.toml has {version}")
    wheels = [wheel.name for wheel in (root / "build" / "dist").glob("*.whl") if f"-{version}-" not in wheel.name]
    return [*found, *(f"{name} is not of version {version}: remove build/dist and build again" for name in wheels)]


def _found(pattern: str, file: Path) -> str:
    match = re.search(pattern, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if match is None:
        sys.exit(f"{file.name} does not say its version")
    return match[1]


if __name__ == "__main__":
    sys.exit("\n".join(faults()) or 0)
