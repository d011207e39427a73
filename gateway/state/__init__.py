"""The memory of a gateway: made, filled, mapped and carried over."""
