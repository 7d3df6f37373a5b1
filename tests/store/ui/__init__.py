"""Tests of gradiend_mlflow.store.ui."""
