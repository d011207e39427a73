"""Limits and quotes that other processes publish in shared memory: the files, who writes them, how they are read."""
