"""The native engine: FIX sessions that are part of the core's state, over sockets of our own."""
