"""FIX sessions without I/O: what a session does with a message, a connection, the time. Kernels over rows of state."""
