"""What the risk rule says of every answer, and the answers that failed in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from crisp_core.model.risk import flag_of, has_failed
from crisp_core.report.analysis.groups import Group, groups
from crisp_core.report.prose import count, number, share
from crisp_core.report.sheets.sheet import Entry, Heading, Sheet, named, words
from crisp_core.schema.risk import Decision, Reason, RiskFlag, RiskRule
from crisp_core.schema.summary import RunSummary

DECISIONS: tuple[Decision, ...] = ("accept", "review", "reject")
REASONS: dict[Reason, str] = {
    "uncertain": "much of the answer lies outside its core",
    "disagreement": "core and support are far apart",
    "changed": "the answer changed much from the first pass to the last",
    "entropy": "the probabilities are undecided",
    "no-evidence": "the site sent none",
}
"""Code -> what speaks against an answer, in words."""


@dataclass(frozen=True)
class Flags:
    """The answers of one site, or of several together."""

    group: Group
    flags: tuple[RiskFlag, ...]
    """One a case."""
    failed: tuple[bool, ...]
    """Whether each answer's Dice is below that of the rule."""

    @property
    def counts(self) -> dict[Decision, int]:
        """Answers by what is to be done with them."""
        found = Counter(flag.decision for flag in self.flags)
        return {decision: found[decision] for decision in DECISIONS}

    @property
    def silent_count(self) -> int:
        """Answers that failed and were accepted."""
        pairs = zip(self.flags, self.failed, strict=True)
        return sum(failed and flag.decision == "accept" for flag, failed in pairs)

    @property
    def silent_rate(self) -> float:
        """Share of all answers that failed and were accepted."""
        return self.silent_count / len(self.flags)

    @property
    def caught(self) -> float | None:
        """Share of the failed answers that were flagged; None where none failed."""
        failures = sum(self.failed)
        return 1 - self.silent_count / failures if failures else None

    @property
    def reasons(self) -> str:
        """Reason codes of the flagged answers with their counts, the most frequent first."""
        found = Counter(reason for flag in self.flags for reason in flag.reasons)
        return ", ".join(f"{reason} {count}" for reason, count in found.most_common())


def flags(summary: RunSummary, sites: Sequence[str]) -> tuple[Flags, ...]:
    """Judge every answer of the final measurement; nothing where the run has no rule."""
    rule = summary.risk
    if rule is None:
        return ()
    return tuple(_flags(group, rule) for group in groups(summary, sites) if group.cases)


def flag_sheet(found: Sequence[Flags]) -> Sheet:
    """List the flags of every site, its failures and the silent ones."""
    return Sheet(
        "risk-flags",
        "Risk flags",
        (
            *named(("Site", "Role")),
            *named(("Cases", "Accept", "Review", "Reject", "Failed"), kind="count"),
            Heading("caught", "Share of failed that is flagged", decimals=2),
            *named(("Silent failures",), kind="count"),
            Heading("silent_rate", "Silent-failure rate"),
            *named(("Reasons",)),
        ),
        tuple(
            (
                *map(words, (one.group.name, one.group.role)),
                Entry(len(one.flags)),
                *map(Entry, one.counts.values()),
                Entry(sum(one.failed)),
                Entry(one.caught),
                Entry(one.silent_count, fall=one.silent_count > 0),
                Entry(one.silent_rate, fall=one.silent_count > 0),
                words(one.reasons),
            )
            for one in found
        ),
        "A silent failure failed and was accepted; its rate is the share of all cases. Reasons: "
        + "; ".join(f"{code}: {meaning}" for code, meaning in REASONS.items())
        + ".",
    )


def _flags(group: Group, rule: RiskRule) -> Flags:
    return Flags(
        group,
        tuple(flag_of(rule, case.evidence) for case in group.cases),
        tuple(has_failed(case) for case in group.cases),
    )


def threshold_sentence(rule: RiskRule) -> str:
    """Say from which score an answer is reviewed and rejected."""
    reject = (
        "one beyond every validation case"
        if rule.basis == "quantiles"
        else f"one from {number(rule.reject, 2)}"
    )
    return (
        f"An answer with a score from {number(rule.review, 2)} is for a person to look at, "
        f"{reject} is not to be used."
    )


def rule_sentence(rule: RiskRule) -> str:
    """Say what the thresholds stand on."""
    failed = f"Only {rule.failure_count}" if rule.failure_count else "None"
    told = rule.failure_count if rule.basis == "failures" else failed
    cases = (
        f"{told} of {rule.case_count} validation cases of the sources failed (mean "
        f"Dice below {rule.failure_dice:g})"
    )
    if rule.basis == "quantiles":
        return (
            f"{cases}: too few to set the rule by failures. Instead it flags "
            f"the {share(rule.flagged)} of them all that have the strongest evidence against them; "
            "what share of failures that catches is not known."
        )
    return (
        f"{cases}. The rule was set to catch {share(rule.catch_rate)} of such; among these very "
        f"cases it catches {share(rule.caught or 0)} and flags {share(rule.flagged)} of all."
    )


def reached_sentence(found: Sequence[Flags]) -> str:
    """Say what the rule caught at hospitals that it was not set on; empty without any."""
    unseen = [one for one in found if one.group.single and one.group.role == "held-out"]
    if not unseen:
        return ""
    answers, failures = sum(len(one.flags) for one in unseen), sum(sum(o.failed) for o in unseen)
    where = f"At {unseen[0].group.name if len(unseen) == 1 else 'the held-out hospitals'}"
    if not failures:
        return f"{where} none of {count(answers, 'answer')} failed: there was nothing to catch."
    caught = failures - sum(one.silent_count for one in unseen)
    flagged = sum(len(one.flags) - one.counts["accept"] for one in unseen)
    return (
        f"{where} it caught {caught} of {failures} failed answers ({share(caught / failures)}) and "
        f"flagged {flagged} of {answers} ({share(flagged / answers)})."
    )
