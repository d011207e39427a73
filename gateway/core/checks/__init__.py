"""The checks: what an order must pass before a venue sees it. Kernels only."""
