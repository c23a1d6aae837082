"""Every rule by its word: whatever a module of this package says in its `RULES`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from crisp_core.numerics import aggregation
from crisp_core.numerics.aggregation.rule import Named


def rules() -> dict[str, Named]:
    """Gather the rules of all modules.

    Raises:
        ValueError: If two modules use one word.

    Examples:
        >>> sorted(rules())[:3]
        ['fedadagrad', 'fedadam', 'fedavg']
    """
    found: dict[str, Named] = {}
    for module in iter_modules(aggregation.__path__):
        own: dict[str, Named] = getattr(
            import_module(f"{aggregation.__name__}.{module.name}"), "RULES", {}
        )
        if twice := sorted(found.keys() & own.keys()):
            message = f"{twice[0]!r} names a rule in {module.name} and in another module"
            raise ValueError(message)
        found |= own
    return found
