"""What people see of a result: a line, a table."""
