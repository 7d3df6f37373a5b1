"""gradiend's words in MLflow's: params, metrics, and which params somebody chose."""
