"""A lab's MLflow deployment on one machine, from parts that pip installs: PostgreSQL, S3, a server with accounts."""
