"""What trainings left on disk, imported once."""
