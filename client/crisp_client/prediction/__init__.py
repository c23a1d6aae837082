"""The model at work: from an image to files that a hospital uses."""
