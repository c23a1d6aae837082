"""The verdict as a whole: every rule's lines, the worst first, and the end of a hopeless study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crisp_core.errors import StudyError
from crisp_core.schema.description import Level, VerdictLine
from crisp_core.schema.messages import SiteDescription
from crisp_core.schema.study import Study
from crisp_server.verdict import images, labels, sites
from crisp_server.verdict.votes import Descriptions

_ORDER: tuple[Level, ...] = ("error", "warning", "ok")


@dataclass(frozen=True)
class Window:
    """Between which seconds since 1970, by the coordinator's clock, the sites looked and wrote."""

    asked_s: float
    answered_s: float


def verdict(
    study: Study, descriptions: Descriptions, window: Window | None = None
) -> tuple[VerdictLine, ...]:
    """Compare what the sites say; what the study accepts is a warning, errors come first.

    Args:
        study: The study.
        descriptions: Every site's answer.
        window: When they were asked and had answered; None compares no clock.
    """
    profiles = {site: d.data for site, d in sorted(descriptions.items()) if d.data is not None}
    clocks = (window.asked_s, window.answered_s) if window else None
    lines = (
        *labels.absent_classes(study, descriptions),
        *labels.readings(study, profiles),
        *images.lengths(profiles),
        *images.spacings(profiles),
        *images.volumes(study, profiles),
        *images.intensities(profiles),
        *images.orientations(profiles),
        *sites.metrics(descriptions),
        *sites.software(descriptions),
        *sites.clocks(descriptions, clocks),
        *sites.cases(descriptions),
    )
    quiet = set(descriptions) - {line.site for line in lines}
    agreed = (_sound(site, descriptions[site]) for site in sorted(quiet))
    first = {line.name: line for line in reversed((*lines, *agreed))}
    accepted = (_accepted(study, line) for line in first.values())
    return tuple(sorted(accepted, key=lambda line: (_ORDER.index(line.level), line.site)))


def insist_on_fit(descriptions: Descriptions, lines: Sequence[VerdictLine]) -> None:
    """Stop a study whose sites' data do not belong together.

    Raises:
        StudyError: If a line is an error; it names every such site, its cases and what to do.
    """
    errors = [line for line in lines if line.level == "error"]
    if not errors:
        return
    told = "; ".join(
        f"{line.site} ({case_count(descriptions[line.site])} cases): {line.sentence}. {line.fix}"
        for line in errors
    )
    names = " ".join(f"--accept {line.name}" for line in errors)
    raise StudyError(
        expected="data that belong together at every site",
        got=told,
        where="data verdict before round 1",
        fix=f"Mend it there; if it is a false alarm, `crisp run {names}` (in a simulation: "
        "federation.accept_verdict)",
    )


def sentences_of(lines: Sequence[VerdictLine]) -> tuple[str, ...]:
    """Return what a reader of the run must know: every warning, in a sentence."""
    return tuple(
        f"Data of {line.site}: {line.sentence}. {line.fix}".strip()
        for line in lines
        if line.level == "warning"
    )


def case_count(description: SiteDescription) -> int:
    """Count a site's cases of every split."""
    return description.train_cases + description.validation_cases + description.test_cases


def _sound(site: str, description: SiteDescription) -> VerdictLine:
    sentence = f"{case_count(description)} cases, nothing to remark"
    return VerdictLine(site=site, level="ok", what="data", sentence=sentence)


def _accepted(study: Study, line: VerdictLine) -> VerdictLine:
    if line.level != "error" or line.name not in study.federation.accept_verdict:
        return line
    sentence = f"{line.sentence} (the study accepts this)"
    return line.model_copy(update={"level": "warning", "sentence": sentence})
