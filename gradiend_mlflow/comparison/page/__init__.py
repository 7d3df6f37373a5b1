"""The report's page: what may be its rows, and the files that it is made of."""
