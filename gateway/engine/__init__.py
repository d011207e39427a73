"""Engines carry messages between FIX sessions and the core."""
