"""Tests of `gradiend_mlflow/overlap/statistics`."""
