"""The reference sets an example as what it is: code, and what it prints."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension


class Examples(Extension):
    """Google's style, which griffe reads, has a section `Examples:`; ours is called as what it has, `Example:`."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Call it so in whatever has one."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
