"""Tests of `gradiend_mlflow/comparison/said/`."""
