"""Tests of `gradiend_mlflow/figures/near/`."""
