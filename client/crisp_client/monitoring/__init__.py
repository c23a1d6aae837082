"""Monitoring after deployment: what was predicted, whether it moves, and who is told."""
