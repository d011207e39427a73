"""A journal looked into: rebuilt, compared, explained, and judged again under other limits."""
