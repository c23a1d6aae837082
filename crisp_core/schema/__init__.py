"""Frozen words that are checked once, at the door."""
