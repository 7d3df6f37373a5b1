"""What is said of runs, as lines on disk that survive their process, and how far such lines are believed."""
