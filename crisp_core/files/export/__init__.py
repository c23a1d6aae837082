"""A released model in formats that other programs run."""
