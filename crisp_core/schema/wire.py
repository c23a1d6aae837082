"""The names on the wire: message types, records and their keys, the same at every site."""

from __future__ import annotations

from types import MappingProxyType

PROTOCOL = 3
ARRAYS, CONFIG = "arrays", "config"
PROTOCOL_KEY, STUDY_KEY, PLAN_KEY = "protocol", "study", "plan"
STUDY_SIGNATURE_KEY, ASK_KEY, RECEIPTS_KEY = "study-signature", "ask", "receipts"
SITE_KEY, FIGURES_KEY, FAULT_KEY = "site", "figures", "fault"
RECORD_KEY, RECORD_SIGNATURE_KEY = "record", "record-signature"
PACKED = "packed"
"""The one array of a message between machines: every array in the bytes of one safetensors file.
Flower moves each named array in two requests of its own; a model has hundreds."""
MESSAGE_TYPES = MappingProxyType(
    {
        "describe": "query.describe",
        "hints": "query.hints",
        "train": "train",
        "evaluate": "evaluate",
    }
)
