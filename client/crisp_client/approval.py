"""A study in plain words, and the hospital's yes to it in `policy.toml`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from crisp_client.home import SiteHome
from crisp_client.policy import architecture_hash, load_policy, read_policy
from crisp_core.arrays import Parameters
from crisp_core.errors import UntrustedError
from crisp_core.files.atomic import write_text
from crisp_core.schema.messages import ESSENTIAL, METRICS, OPTIONAL
from crisp_core.schema.policy import Policy
from crisp_core.schema.record import Action
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.schema.study import Study
from crisp_core.trust.signed_study import opened_study

MEGABYTE = 1e6


def coordinator_key(home: SiteHome) -> str:
    """Return the public key (PEM) of the coordinator, as it was pinned when joining.

    Raises:
        UntrustedError: If this site joined nobody.
    """
    try:
        return home.coordinator_key.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UntrustedError(
            expected="the key of a coordinator that this site joined",
            got="none",
            where=str(home.coordinator_key),
            fix="Join first (`crisp-client join TOKEN --data FOLDER`), or restore the file",
        ) from None


def signed_study_in(home: SiteHome, signed: SignedStudy) -> Study:
    """Return the study if the coordinator that this site joined has signed it.

    Raises:
        UntrustedError: If it has not, or if this site joined nobody.
    """
    return opened_study(signed, coordinator_key(home))


def approve(home: SiteHome, signed: SignedStudy, now: datetime) -> bool:
    """Write into `policy.toml` that this study may run here; every line of the file stays.

    Args:
        home: Of this site.
        signed: The study as the coordinator signed it.
        now: When a person said yes.

    Returns:
        Whether it is new; False if it was approved before.

    Raises:
        UntrustedError: If the study is not the coordinator's.
        PolicyError: If there is no policy, or it cannot be read.
        RunStateError: If it cannot be written.
    """
    study, policy = signed_study_in(home, signed), load_policy(home.policy)
    if is_approved(study, policy):
        return False
    text = home.policy.read_text(encoding="utf-8").rstrip("\n") + "\n" + _entry(study, now)
    read_policy(text, where=str(home.policy))
    write_text(home.policy, text)
    return True


def is_approved(study: Study, policy: Policy) -> bool:
    """Tell whether somebody here said yes to this very study."""
    return any(approved.hash == study.hash() for approved in policy.studies)


def plain_words(study: Study, policy: Policy) -> list[str]:
    """Say what a study would do here: what is trained, what leaves, what stays, what binds."""
    network = network_of(study)
    return [
        *_what_is_done(study, network),
        *_what_leaves(study, network),
        *_what_binds(study, policy),
    ]


def network_of(study: Study) -> Parameters:
    """Build the study's network, to know what would travel."""
    from crisp_core.model.from_study import segmenter_of  # noqa: PLC0415 - torch: for this alone
    from crisp_core.model.parameters import to_arrays  # noqa: PLC0415 - likewise

    return to_arrays(segmenter_of(study))


def write_policy(home: SiteHome, *, min_cohort: int = 5) -> None:
    """Write the default policy with every option explained; one that is there stays as it is."""
    if not home.policy.exists():
        write_text(home.policy, policy_text(min_cohort=min_cohort))


def policy_text(*, min_cohort: int = 5) -> str:
    """Return the text of a policy that allows what a study needs and nothing more."""
    return _TEXT.format(
        min_cohort=min_cohort,
        essential=len(ESSENTIAL),
        metrics=_quoted(METRICS),
        default=Policy(),
    )


def _entry(study: Study, now: datetime) -> str:
    return f"""
[[studies]]
name = "{study.name}"
hash = "{study.hash()}"
architecture = "{architecture_hash(network_of(study))}"
approved = "{now.isoformat(timespec="seconds")}"
"""


def _what_is_done(study: Study, network: Parameters) -> Iterator[str]:
    rounds, training = study.crisp.generations * study.federation.rounds, study.training
    yield f"Study {study.name!r} (hash {study.hash()}) learns to outline {_named(study.classes)}."
    yield f"Training at {_named(study.sources)}: their images are used and stay with them."
    if study.held_out:
        yield f"Held out: {_named(study.held_out)}; there the model is measured, never trained."
    yield (
        f"Network: {study.model.architecture}, {sum(a.size for a in network.values()):,} numbers. "
        "No program code comes with it: what is installed here is what runs."
    )
    yield (
        f"Work: {rounds} rounds, {training.steps} training steps in all with {training.batch_size} "
        "slices each, and a measurement after every generation and at the end."
    )


def _what_leaves(study: Study, network: Parameters) -> Iterator[str]:
    size = sum(array.nbytes for array in network.values()) / MEGABYTE
    yield "Leaves before round 1: counts of cases and patients, medians of spacing and intensity."
    yield f"Leaves after every round: the network's numbers, {size:.1f} MB, and the loss."
    yield (
        "Leaves after a measurement: for each case Dice, HD95 and their like, under pseudonyms "
        "that only this site can resolve."
    )
    yield "Stays: images, masks, hints, pictures, names, file names, texts of errors, private keys."


def _what_binds(study: Study, policy: Policy) -> Iterator[str]:
    rounds = study.crisp.generations * study.federation.rounds
    yield f"policy.toml: no figure over fewer than {policy.min_cohort} patients leaves."
    yield f"policy.toml: work begins within {policy.hours}, local time."
    yield (
        f"policy.toml: at most {policy.max_epochs:g} passes over the training slices, and "
        f"{policy.max_evaluations} models measured."
    )
    needed: set[Action] = {"describe", "hints", "train", "evaluate"}
    if missing := sorted(needed - set(policy.actions)):
        yield f"policy.toml refuses {_named(missing)}: a site that trains cannot take part."
    if policy.max_rounds < rounds:
        yield f"policy.toml stops this study after {policy.max_rounds} of its {rounds} rounds."
    allowed = set(METRICS if policy.metrics is None else policy.metrics)
    if kept := sorted(set(ESSENTIAL) - allowed):
        yield f"policy.toml keeps {_named(kept)} here: the study, which needs them, cannot start."
    if spared := sorted(set(OPTIONAL) - allowed):
        yield f"policy.toml keeps {_named(spared)} here: the report goes without them."
    if policy.max_norm_out is not None:
        yield f"policy.toml: a round's change leaves at L2 norm {policy.max_norm_out:g} at most."


def _named(names: Iterable[str]) -> str:
    return ", ".join(names)


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


_TEXT = """\
# What this hospital allows. It is this file that decides, not the coordinator: it is read anew at
# every message, and what it does not allow is refused. A line that is not understood refuses all.

# What may be asked: "describe" (counts and medians), "hints" (made here, kept here), "train" and
# "evaluate" (measure a model). A site that trains needs all four; a held-out one "describe" and
# "evaluate".
actions = ["describe", "hints", "train", "evaluate"]

# Local time in which work may begin; "20:00-06:00" wraps around midnight.
hours = "{default.hours}"

# Share of the GPU's memory that a study may take.
gpu_share = {default.gpu_share}

# Training rounds, and passes over this site's training slices, that one study may take in all.
# They are counted in ledger.jsonl, so that a restart forgets nothing. So are the models that one
# study may have measured here: each answer says a little about single cases.
max_rounds = {default.max_rounds}
max_epochs = {default.max_epochs}
max_evaluations = {default.max_evaluations}

# Bytes of one answer: the network's numbers and the figures.
max_bytes_out = {default.max_bytes_out}

# Longest change of the network (L2 norm of all its numbers) that one round may send; a longer one
# is shortened. Without the line nothing is shortened.
# max_norm_out = 10.0

# Fewest patients that any figure may describe: of a smaller training, validation or test group no
# figure leaves. A group's name (column `group` of cases.csv) needs as many patients as well.
min_cohort = {min_cohort}

# Metrics that may leave; without the line all of them. A study needs the first {essential}: to keep
# one of those here is to take no part, and the coordinator is told before the first round. The
# others may stay: the report then goes without them.
# metrics = [{metrics}]

# Whether pictures may leave. Nothing in this version sends any; they stay in the work folder.
pictures = false

# Studies that a person here has read and approved, written by `crisp-client approve`. Take a study
# out and its next message is refused. Every other option belongs above this line.
"""
