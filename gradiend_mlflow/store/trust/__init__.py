"""What a server may make us do: how much of its answer we read, and where it may send us."""
