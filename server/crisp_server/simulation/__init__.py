"""A federation on one machine, on either engine."""
