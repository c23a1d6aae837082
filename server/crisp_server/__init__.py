"""The coordinator: drives the federation, never opens an image."""
