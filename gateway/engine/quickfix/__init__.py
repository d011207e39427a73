"""The engine on QuickFIX."""
