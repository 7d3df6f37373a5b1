"""What a base model consists of, by the names, shapes and config that transformers gives it."""
