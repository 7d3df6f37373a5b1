"""Tests of `gradiend_mlflow/delivery`."""
