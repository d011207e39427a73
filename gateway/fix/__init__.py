"""FIX bytes: dictionary tables, encoding and decoding."""
