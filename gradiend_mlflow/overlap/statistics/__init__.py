"""What a matrix of overlaps says: of groups, of seeds, of another matrix, of who is near whom."""
