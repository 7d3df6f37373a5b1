"""One GRADIEND's ranked weights, and the file that holds them; knows no MLflow."""
