"""GRADIENDs as models of MLflow: their files, and how they are logged and registered."""
