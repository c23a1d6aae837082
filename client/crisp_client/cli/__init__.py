"""`crisp-client`: what a hospital types. Each module adds its commands to one application."""

from crisp_client.cli import (
    daemon,
    data,
    feedback,
    layouts,
    membership,
    monitoring,
    pacs,
    predict,
    report,
    stress,
    trust,
)
from crisp_client.cli.app import app, main

__all__ = [
    "app",
    "daemon",
    "data",
    "feedback",
    "layouts",
    "main",
    "membership",
    "monitoring",
    "pacs",
    "predict",
    "report",
    "stress",
    "trust",
]
