"""The disk: volumes, cohorts, caches, hints and checkpoints."""
