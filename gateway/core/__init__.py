"""The deterministic core: one state record, one function that applies an event to it."""
