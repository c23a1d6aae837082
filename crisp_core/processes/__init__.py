"""Keeping processes alive: both sides of a federation run Flower's as children of their own."""
