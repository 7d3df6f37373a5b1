"""Tests of `gradiend_mlflow/display`."""
