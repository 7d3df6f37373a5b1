"""What the figures are made of: canvas, layout, text, order of the runs, what stands around the cells."""
