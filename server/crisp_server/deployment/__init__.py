"""A federation of real hospitals, as its coordinator runs it."""
