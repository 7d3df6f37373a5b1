"""Tests of `gradiend_mlflow/tracking/loops`."""
