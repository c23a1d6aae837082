"""How a hospital joins a federation."""

from crisp_client.joining.join import JoinResult, join

__all__ = ["JoinResult", "join"]
