"""What went in and what came out, kept and replayed."""
