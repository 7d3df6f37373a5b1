"""A question about runs, and its answer as an MLflow run."""
