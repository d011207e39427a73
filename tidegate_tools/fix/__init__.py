"""FIX for people: a client without an engine, a viewer of logs."""
