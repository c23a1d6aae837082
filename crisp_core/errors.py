"""Every error that is raised on purpose: one class a meaning, one sentence a message."""

from __future__ import annotations

from typing import ClassVar


class CrispError(Exception):
    """Something is wrong in a way that a person can mend.

    The message reads "Expected X, got Y (where). Fix." `code` is what may leave a hospital;
    the sentence stays on the machine that raised it.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, *, expected: str, got: str, where: str, fix: str) -> None:
        super().__init__(f"Expected {expected}, got {got} ({where}). {fix}.")
        self.expected, self.got, self.where, self.fix = expected, got, where, fix


class StudyError(CrispError):
    """A study cannot be run as written."""

    code = "study"
    exit_code = 2


class UsageError(CrispError):
    """A command was called with something that it cannot work with."""

    code = "usage"
    exit_code = 2


class DataError(CrispError):
    """A site's folder, case or table is not what it should be."""

    code = "data"
    exit_code = 3


class HintsMissingError(CrispError):
    """A site has no hints of this generation made by this model."""

    code = "hints-missing"
    exit_code = 3


class OwnArraysMissingError(CrispError):
    """A site has lost the arrays that it keeps for itself in a study."""

    code = "own-arrays"
    exit_code = 3


class RunStateError(CrispError):
    """A run folder cannot be started in, continued or written."""

    code = "state"
    exit_code = 3


class QuorumError(CrispError):
    """Too few sites answered for the step to count."""

    code = "quorum"
    exit_code = 3


class UpdateRefusedError(CrispError):
    """A site's update does not fit the model it was asked for."""

    code = "refused"
    exit_code = 3


class SiteFailedError(CrispError):
    """A site answered with an error where its answer cannot be missed."""

    code = "site-failed"
    exit_code = 3


class DivergedError(CrispError):
    """Training ended in numbers that are not finite."""

    code = "diverged"
    exit_code = 3


class WeightsError(CrispError):
    """A weights file does not fit the network."""

    code = "weights"
    exit_code = 2


class MissingExtraError(CrispError):
    """An optional part was asked for and is not installed."""

    code = "missing-extra"
    exit_code = 2


class PolicyError(CrispError):
    """The site's own policy does not allow what was asked."""

    code = "policy"
    exit_code = 3


class SmallCohortError(CrispError):
    """A figure would describe fewer patients than the site's policy asks for."""

    code = "small-cohort"
    exit_code = 3


class UntrustedError(CrispError):
    """Something is unsigned, signed by an unknown key, altered, expired or sent twice."""

    code = "untrusted"
    exit_code = 3


class ConnectionFailedError(CrispError):
    """The other side cannot be reached, or is not who it should be."""

    code = "connection"
    exit_code = 3


class ProcessError(CrispError):
    """A process that is supervised does not start or does not stay."""

    code = "process"
    exit_code = 3
