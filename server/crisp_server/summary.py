"""A run folder as one value: what the report, the tables and scripts read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from crisp_core.errors import RunStateError
from crisp_core.schema.manifest import Progress
from crisp_core.schema.study import Study
from crisp_core.schema.summary import GenerationSummary, RunSummary, named_rounds
from crisp_server.admission import COMPARABLE, OPPOSED, opposition
from crisp_server.holdout import risk_rule, select_generation
from crisp_server.store import RunFolder
from crisp_server.verdict import sentences_of


def summarise(run: RunFolder) -> RunSummary:
    """Read a finished run.

    Raises:
        RunStateError: If the run has not come to its end.
    """
    saved = run.load()
    if saved is None or not saved[1].final:
        raise RunStateError(
            expected="a finished run",
            got="one that has steps left",
            where=str(run.path),
            fix=f"Continue it with `crisp resume {run.path}`",
        )
    progress, facts = saved[1], run.facts
    study = Study.model_validate_json(run.study.canonical())  # without the places of its data
    selected = select_generation(study, progress.validations)
    validation = progress.validations[selected - 1]
    return RunSummary(
        study=study,
        study_hash=study.hash(),
        engine=facts.engine,
        versions=facts.versions,
        sites=progress.sites,
        verdict=progress.verdict,
        rounds=progress.rounds,
        generations=tuple(_generations(progress)),
        selected_generation=selected,
        converged_at=progress.converged_at,
        final=progress.final,
        model_hash=progress.generation_models[selected - 1],
        started=facts.started,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=progress.seconds,
        site_seconds=progress.site_seconds,
        commands=facts.commands,
        warnings=(*progress.warnings, *_warnings(study, progress), *sentences_of(progress.verdict)),
        ledger=tuple(
            {"number": entry.number, "event": entry.event, **entry.fields, "hash": entry.hash}
            for entry in run.ledger.entries()
            if entry.event != "record"  # one an answer: `crisp audit` reads them
        ),
        risk=risk_rule(study, validation),
    )


def _generations(progress: Progress) -> list[GenerationSummary]:
    return [
        GenerationSummary(
            generation=number,
            hints=progress.hints[number - 2] if 1 < number <= len(progress.hints) + 1 else {},
            validation=validation,
            model_hash=model,
        )
        for number, (validation, model) in enumerate(
            zip(progress.validations, progress.generation_models, strict=True), start=1
        )
    ]


def _warnings(study: Study, progress: Progress) -> tuple[str, ...]:
    """Sentences that a reader must see first."""
    sentences = [*_uncompared(study, progress), *_opposed(progress), *_late(progress)]
    if study.evaluation.select == "last":
        sentences.append("The last generation was taken: this study has no validation selection")
    ratios = {
        site: figures.noise_ratio
        for site, figures in progress.rounds[-1].trained.items()
        if figures.noise_ratio is not None
    }
    sentences += [
        f"Noise is {ratio:.2f} of the features' spread at {site} (0.2 to 1.0 is usual): "
        "change crisp.sigma"
        for site, ratio in ratios.items()
        if not _USUAL_NOISE[0] <= ratio <= _USUAL_NOISE[1]
    ]
    return tuple(sentences)


def _uncompared(study: Study, progress: Progress) -> Iterator[str]:
    """Say once where updates could not be compared with one another."""
    rounds = [r.round_number for r in progress.rounds if len(r.trained) < COMPARABLE]
    if study.federation.admission == "finite":
        yield "The size and direction of updates were not compared: federation.admission asks so"
    elif rounds and len(study.sources) > 1:
        yield (
            f"In {len(rounds)} of {len(progress.rounds)} rounds fewer than {COMPARABLE} updates "
            "counted: too few to tell by size or direction which one is wrong"
        )


def _opposed(progress: Progress) -> Iterator[str]:
    """Name the sites that had drifted away from the others, and counted all the same."""
    rounds: dict[str, list[int]] = {}
    for summary in progress.rounds:
        for site, opposed in opposition(summary.agreement).items():
            if opposed > OPPOSED:
                rounds.setdefault(site, []).append(summary.round_number)
    for site, numbers in rounds.items():
        yield (
            f"{site} pulled against the others, which agreed, in {named_rounds(numbers)}, and "
            "counted: it had drifted away from them round by round. Its patients or its masks "
            "differ from theirs"
        )


def _late(progress: Progress) -> Iterator[str]:
    for summary in progress.rounds:
        for site, rounds in summary.late.items():
            yield (
                f"What {site} gave to round {summary.round_number} was trained on the model of "
                f"round {summary.round_number - rounds}, and counted for less"
            )


_USUAL_NOISE = (0.2, 1.0)
