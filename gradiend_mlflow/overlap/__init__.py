"""How far sets agree, as numbers."""
