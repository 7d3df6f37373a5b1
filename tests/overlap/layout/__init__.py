"""Tests of `gradiend_mlflow/overlap/layout`."""
