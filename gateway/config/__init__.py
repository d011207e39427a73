"""The config files: what they may say, read and validated."""
