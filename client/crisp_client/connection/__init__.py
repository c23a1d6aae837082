"""The one connection of a hospital: calls to its coordinator, and why one fails."""

from crisp_client.connection.call import Address, Answer, Clock, address_of, utc_now
from crisp_client.connection.explain import call
from crisp_client.connection.finding import Finding, printable
from crisp_client.connection.probe import probe

__all__ = [
    "Address",
    "Answer",
    "Clock",
    "Finding",
    "address_of",
    "call",
    "printable",
    "probe",
    "utc_now",
]
