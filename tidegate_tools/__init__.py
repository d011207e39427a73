"""What ships with Tidegate to try it and to look into it: simulators, the demonstration, tools for FIX."""
