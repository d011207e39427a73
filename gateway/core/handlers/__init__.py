"""What the core does with each kind of event. Kernels only."""
