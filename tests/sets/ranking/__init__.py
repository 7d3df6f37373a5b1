"""Tests of `gradiend_mlflow/sets/reading`."""
