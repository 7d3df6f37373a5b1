"""What `make docs` adds to the pages of this folder: those that lie above it, and links that fit.

README, CONTRIBUTING and CHANGELOG are where hosts of repositories look for them; on the site they are pages as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ABOVE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
ROOT = Path(__file__).parents[1]
# Links to files that are no pages are shown as the names that they are.
_LINK = re.compile(r"(!?\[([^\]]*)\])\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie above this folder."""
    for name, page in ABOVE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Let links lead to pages of the site."""
    above = page.file.src_uri in ABOVE.values()
    return _LINK.sub(lambda found: _link(found, files, above=above), markdown)


def _link(found: re.Match[str], files: Any, *, above: bool) -> str:
    name, text, target = found.groups()
    path, anchor, place = target.partition("#")
    if "://" in path or not path:
        return found[0]
    path = path.removeprefix("docs/") if above else path.removeprefix("../")
    path = ABOVE.get(path, path)
    return f"{name}({path}{anchor}{place})" if files.get_file_from_path(path) else f"`{text}`"
