"""Figures of one case: a recursion on the native grid, beside its reference."""
