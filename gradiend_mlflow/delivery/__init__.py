"""What a training says, kept until MLflow has it."""
