"""The places behind MLflow that are asked without its server: artifact stores and databases."""
