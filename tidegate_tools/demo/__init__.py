"""The demonstration: `tidegate demo`."""
