"""Tests of `examples/shared_server`, and of all that is promised on whatever a lab's MLflow consists of."""
