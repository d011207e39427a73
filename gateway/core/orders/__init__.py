"""What an order is made of: its requests, its status, what it reserves. Kernels only."""
