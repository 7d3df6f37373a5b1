"""What is asked without MLflow's server."""
