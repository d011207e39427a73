"""One gateway process, from its start to its end."""
