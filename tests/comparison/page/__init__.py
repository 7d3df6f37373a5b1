"""Tests of `gradiend_mlflow/comparison/page`."""
