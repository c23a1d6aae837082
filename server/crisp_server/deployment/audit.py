"""`crisp audit`: what the coordinator's ledger proves, with the keys of its own home."""

from __future__ import annotations

from pathlib import Path

from crisp_core.errors import UsageError
from crisp_core.trust.audit import AuditFinding, audit_coordinator, compare_ledgers
from crisp_core.trust.keys import load_signing_key, public_pem
from crisp_server.home import CoordinatorHome
from crisp_server.roster import Roster
from crisp_server.store import RunFolder


def audited(
    home: CoordinatorHome, run: RunFolder, site_ledger: Path | None, site: str
) -> tuple[AuditFinding, ...]:
    """Verify the ledger of a run and, with a site's ledger, that both say the same.

    Raises:
        UsageError: If a ledger comes without the name of its site, or is not there.
    """
    roster = Roster.load(home.roster)
    keys = roster.known_keys()
    ours = public_pem(load_signing_key(home.signing_key))
    findings = audit_coordinator(run.ledger.path, keys, ours)
    if site_ledger is None:
        return findings
    if not site_ledger.is_file():
        raise UsageError(
            expected="a site's ledger",
            got="no such file",
            where=str(site_ledger),
            fix="Ask the hospital for its ledger.jsonl",
        )
    name = roster.entry(site).site
    return (
        *findings,
        *compare_ledgers(run.ledger.path, site_ledger, name, keys.get(name, ())),
    )
