"""What the numbers look like: matplotlib figures."""
