"""What people see of a state, live or replayed."""
