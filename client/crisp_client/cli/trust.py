"""Commands about trust: a person's yes to a study, and what the ledger proves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from crisp_client.cli.app import DEFAULT_HOME, HomeOption, app, human, told
from crisp_client.home import SiteHome
from crisp_core.errors import UntrustedError

DECLINED = 1


@app.command()
def approve(
    study: Annotated[Path, typer.Argument(help="The signed study, as it came when joining.")],
    home: HomeOption = DEFAULT_HOME,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without asking.")] = False,
) -> None:
    """Show in plain words what a study would do here, and write a person's yes to it.

    Example: crisp-client approve crisp-site/studies/cardiac.json
    """
    with told():
        from crisp_client.approval import approve as write_approval
        from crisp_client.approval import is_approved, plain_words, signed_study_in
        from crisp_client.policy import load_policy
        from crisp_core.trust.signed_study import read_signed

        place, signed = SiteHome(home), read_signed(study)
        opened, policy = signed_study_in(place, signed), load_policy(place.policy)
        for line in plain_words(opened, policy):
            human.print(f"- {line}", markup=False, soft_wrap=True)
        if is_approved(opened, policy):
            human.print(f"{opened.name}: approved before, nothing to do", markup=False)
            return
        if not yes and not typer.confirm("May this study run here?", err=True):
            human.print("Not approved: the study is refused until it is.")
            raise typer.Exit(DECLINED)
        write_approval(place, signed, datetime.now(tz=UTC).astimezone())
    human.print(f"{opened.name}: approved in {place.policy}", markup=False, soft_wrap=True)


@app.command()
def audit(home: HomeOption = DEFAULT_HOME) -> None:
    """Check every line and signature of this site's ledger.

    Example: crisp-client audit
    """
    with told():
        from crisp_client.approval import coordinator_key
        from crisp_core.trust.audit import audit_site
        from crisp_core.trust.keys import load_signing_key, public_pem

        place = SiteHome(home)
        own = public_pem(load_signing_key(place.signing_key))
        findings = audit_site(place.ledger, own, coordinator_key(place))
    for finding in findings:
        line = f"{finding.level}: {finding.where}: {finding.sentence}"
        human.print(line, markup=False, soft_wrap=True)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(UntrustedError.exit_code)
    human.print(f"{place.ledger}: every line holds", markup=False, soft_wrap=True)
