"""What this package has said in a test."""

from __future__ import annotations

import logging

import pytest


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Its warnings and errors."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "gradiend_mlflow" and record.levelno >= logging.WARNING
    ]
