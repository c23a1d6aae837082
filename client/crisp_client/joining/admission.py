"""What is said while joining: the authority by its fingerprint, then the token over true TLS."""

from __future__ import annotations

import hmac
from http import HTTPStatus

from pydantic import ValidationError

from crisp_client.connection import Answer, Clock, Finding, address_of, call, printable
from crisp_core.errors import ConnectionFailedError, CrispError, UntrustedError
from crisp_core.schema.frozen import Frozen
from crisp_core.schema.joining import (
    AuthorityAnswer,
    AuthorityRequest,
    JoinAnswer,
    JoinRequest,
    Refusal,
)
from crisp_core.schema.study import Study
from crisp_core.trust.certificates import fingerprint
from crisp_core.trust.signed_study import opened_study
from crisp_core.trust.tokens import JoinToken

CURES = {
    HTTPStatus.CONFLICT: "Keys that were used before need a new --home; if somebody else used the "
    "token, tell the coordinator at once",
    HTTPStatus.TOO_MANY_REQUESTS: "Wait a minute and type the same command again",
    HTTPStatus.SERVICE_UNAVAILABLE: "Ask the coordinator to look into its logs, then try again",
}
NEW_TOKEN = "Ask the coordinator for a new token (crisp sites token NAME)"  # noqa: S105 - a sentence


def authority_of(token: JoinToken, now: Clock) -> str:
    """Fetch the coordinator's authority (PEM) from whoever answers; it counts by its fingerprint.

    Raises:
        ConnectionFailedError: If nobody answers, or no coordinator.
        UntrustedError: If it is not the authority that the token names.
    """
    answer = _reached(token, AuthorityRequest(), None, now)
    try:
        authority = AuthorityAnswer.model_validate_json(answer.body).authority
        seen = fingerprint(authority)
    except (ValidationError, UntrustedError):
        raise _unexpected(token, answer) from None
    if not hmac.compare_digest(seen, token.fingerprint):
        raise UntrustedError(
            expected=f"the authority that the token names (SHA-256 {token.fingerprint[:16]}…)",
            got=f"another one ({seen[:16]}…)",
            where=token.address,
            fix="Ask the coordinator whether it was provisioned anew; if not, somebody poses as it",
        )
    return authority


def admission(token: JoinToken, request: JoinRequest, authority: str, now: Clock) -> JoinAnswer:
    """Hand the token in; from here on only the pinned authority is believed.

    Raises:
        ConnectionFailedError: If no such coordinator answers.
        UntrustedError: If it says no.
    """
    answer = _reached(token, request, authority, now)
    if answer.status != HTTPStatus.OK:
        raise _refused(token, answer)
    try:
        return JoinAnswer.model_validate_json(answer.body)
    except ValidationError:
        raise _unexpected(token, answer) from None


def _reached(token: JoinToken, request: Frozen, authority: str | None, now: Clock) -> Answer:
    answer = call(address_of(token.address), request, authority, now)
    if isinstance(answer, Finding):
        raise ConnectionFailedError(
            expected="an answer of the coordinator",
            got=printable(answer.sentence),
            where=answer.what,
            fix=answer.fix,
        )
    return answer


def _refused(token: JoinToken, answer: Answer) -> CrispError:
    try:
        reason = Refusal.model_validate_json(answer.body).error
    except ValidationError:
        return _unexpected(token, answer)
    return UntrustedError(
        expected="to be admitted",
        got=f"a no: {printable(reason).rstrip('.')}",
        where=f"{token.site} at {token.address}",
        fix=CURES.get(HTTPStatus(answer.status), NEW_TOKEN),
    )


def _unexpected(token: JoinToken, answer: Answer) -> CrispError:
    return ConnectionFailedError(
        expected="a coordinator of CRISP-FL",
        got=f"an answer {answer.status} of another kind",
        where=token.address,
        fix="Check that `crisp up` runs there; a proxy's own page looks like this too",
    )


def checked_study(answer: JoinAnswer, token: JoinToken) -> Study:
    """Open the study that came with the admission.

    Raises:
        UntrustedError: If it is not signed by the key beside it, or not for this site.
    """
    study = opened_study(answer.study, answer.coordinator_key)
    if answer.site != token.site or token.site not in study.sites:
        raise UntrustedError(
            expected=f"a study with site {token.site!r}",
            got=f"one of {', '.join(study.sites)}",
            where=token.address,
            fix="Ask the coordinator for the token of this site",
        )
    return study
