"""What reads, within bounds, the files that anybody may have written: Parquet, tensors."""
