"""The demo, as `make demo-server` runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.long
def test_it_starts_is_used_and_stops(deployments: object, tmp_path: Path) -> None:
    """Two trainings, their comparison, an address that answers until Ctrl-C, and nothing afterwards."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "shared_server"],
        env=os.environ | {"PYTHONPATH": f"{EXAMPLES}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = []
        assert demo.stdout is not None
        for line in demo.stdout:
            said.append(line)
            if line.startswith("Ctrl-C stops"):
                break
        text = "".join(said)
        assert re.search("^3SG_3PL .*100%", text, re.MULTILINE)  # whichever of the two was first
        (address,) = (line.split()[4] for line in said if line.startswith("The MLflow UI is"))
        assert requests.get(f"{address}/health", timeout=10).ok
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{address}/health", timeout=10)
    finally:
        demo.terminate()  # if it was not what was expected; its servers end with it
