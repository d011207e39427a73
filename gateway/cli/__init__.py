"""The `tidegate` command: one module for each group of commands."""
