"""Exports and reports for an examiner, made from a journal."""
