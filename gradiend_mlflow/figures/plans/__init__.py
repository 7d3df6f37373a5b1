"""What a figure shows, and where in it: decided and measured before anything is drawn."""
