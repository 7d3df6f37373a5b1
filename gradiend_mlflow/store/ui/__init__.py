"""What MLflow's UI shows of an experiment."""
