"""Tests of `gradiend_mlflow/runs`."""
