"""Tables as values, and the formats in which they are written."""
