"""Kill switches: the file that says who may not trade."""
