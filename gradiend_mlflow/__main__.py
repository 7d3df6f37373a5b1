"""`python -m gradiend_mlflow`: the command line."""

from __future__ import annotations

from gradiend_mlflow.cli import main

main(prog_name="gradiend-mlflow")
