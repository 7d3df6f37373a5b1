"""One training loop under way: its steps, the sets of some of them, and the data that it trains on."""
