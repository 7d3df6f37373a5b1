"""What a Venn diagram is made of: shapes, their regions, and where names and numbers stand."""
