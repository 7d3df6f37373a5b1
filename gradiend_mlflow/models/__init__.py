"""A GRADIEND as a model of MLflow: logged, loaded, and asked what it encodes."""
