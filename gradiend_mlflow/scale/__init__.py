"""The sets of more runs than one process holds: as one dataset in Parquet, and their overlap block by block."""
