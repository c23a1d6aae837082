"""What the newest study asks of this site, beside what the hospital's policy allows."""

from __future__ import annotations

from collections.abc import Iterator

from crisp_client.approval import is_approved, signed_study_in
from crisp_client.cases import open_cases
from crisp_client.connection import Finding
from crisp_client.home import SiteHome
from crisp_client.policy import load_policy
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.messages import Split
from crisp_core.schema.study import Study
from crisp_core.trust.signed_study import read_signed

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def newest_study(home: SiteHome) -> Study | None:
    """Read the study that reached this site last; None if none did.

    Raises:
        UntrustedError: If it is damaged, or the coordinator has not signed it.
    """
    files = sorted(home.studies.glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not files:
        return None
    return signed_study_in(home, read_signed(files[-1]))


def approval(home: SiteHome, study: Study) -> Iterator[Finding]:
    """Say whether the hospital has approved the study.

    Raises:
        PolicyError: If the policy cannot be read.
    """
    policy = load_policy(home.policy)
    if is_approved(study, policy):
        yield Finding("ok", "policy", f"study {study.name!r} is approved")
        return
    yield Finding(
        "error",
        "policy",
        f"study {study.name!r} is not approved: every message would be refused",
        "Read it and approve it with `crisp-client approve`",
    )


def cohort(home: SiteHome, settings: SiteSettings, study: Study) -> Iterator[Finding]:
    """Count patients by split, and say now which figures the policy would keep here.

    Raises:
        DataError: If the data cannot be used.
        PolicyError: If the policy cannot be read.
    """
    site = open_cases(settings, study)
    held_out = study.sites[settings.site].role == "held-out"
    splits: tuple[Split, ...] = ("all",) if held_out else SPLITS
    patients = {split: len({case.patient_id for case in site.of(split)}) for split in splits}
    counts = ", ".join(f"{count} {split}" for split, count in patients.items())
    yield Finding("ok", "patients", f"{counts} ({len(site.cases)} cases)")
    few = load_policy(home.policy).min_cohort
    wanted = "figures of {} patients ({}) may not leave: min_cohort is {}"
    for split, count in patients.items():
        if 0 < count < few:
            sentence = wanted.format(count, split, few)
            fix = "Add patients, or lower min_cohort in policy.toml if the hospital agrees"
            yield Finding("error", "patients", sentence, fix)
    needed: list[Split] = ["all"] if held_out else ["train"]
    if not held_out and study.evaluation.select == "worst-site":
        needed.append("validation")
    for split in needed:
        if patients[split] == 0:
            yield Finding(
                "error",
                "patients",
                f"the study needs {split} patients and there are none",
                "Add patients, or change the splits in cases.csv",
            )
