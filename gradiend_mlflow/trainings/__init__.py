"""What trainings left on disk, recorded once."""
