"""Tests of `gradiend_mlflow/commands`."""
