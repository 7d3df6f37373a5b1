"""A hostile world: files, servers and journals that somebody made to harm."""
