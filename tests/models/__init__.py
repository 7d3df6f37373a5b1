"""Tests of `gradiend_mlflow/models`."""
