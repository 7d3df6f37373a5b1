"""Tests of gradiend_mlflow.trainings.words."""
