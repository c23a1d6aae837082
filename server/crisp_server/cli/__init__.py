"""`crisp`: what a researcher and a coordinator type; each module adds its commands."""

from crisp_server.cli import coordinator, export, paper, simulation, sites
from crisp_server.cli.app import app, main

__all__ = ["app", "coordinator", "export", "main", "paper", "simulation", "sites"]
