"""Arrays that travel beside a model, under a prefix that no network's own names have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
CONTROL = "control/"
"""Before the name of an array whose control variate it is."""
PERSONAL = "personal/"
"""Before the number of a source and the name of one of its own normalisation's arrays."""


def model_of(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """Leave out what travels beside the model.

    Examples:
        >>> model_of({"head.bias": 1, "personal/1/norm.bias": 2})
        {'head.bias': 1}
    """
    return {name: array for name, array in arrays.items() if "/" not in name}


def beside(arrays: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Return what travels under a prefix, without it.

    Examples:
        >>> beside({"head.bias": 1, "personal/1/norm.bias": 2}, "personal/1/")
        {'norm.bias': 2}
    """
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def under(prefix: str, arrays: Mapping[str, Value]) -> dict[str, Value]:
    """Put a prefix before every name; `beside` takes it away."""
    return {prefix + name: array for name, array in arrays.items()}
