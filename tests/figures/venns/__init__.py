"""Tests of `gradiend_mlflow/figures/venns`."""
