"""Tests of `gradiend_mlflow/comparison/chosen`."""
