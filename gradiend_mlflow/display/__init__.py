"""What people see of a result and of work under way: a line, a table, a bar."""
