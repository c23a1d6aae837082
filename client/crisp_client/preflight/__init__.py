"""What would stop this site later, looked at now: one finding a line, each with its cure."""

from crisp_client.preflight.check import findings, preflight

__all__ = ["findings", "preflight"]
