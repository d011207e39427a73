"""Make files of the repository from their sources, and programs that tests need."""
