"""How far sets agree: numbers only."""
