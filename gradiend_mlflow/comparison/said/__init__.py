"""What a comparison says: its answer in sentences, its name, and the description of its run."""
