"""Several methods and seeds of one study, one table: the paper's ablation as one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from crisp_core.errors import UsageError
from crisp_core.report.comparison import write_comparison
from crisp_core.schema.methods import COMPARATORS, PRESETS, as_method, is_method
from crisp_core.schema.study import Study
from crisp_core.schema.summary import RunSummary
from crisp_server.settings import parse_study
from crisp_server.simulate import SimulationOptions, carry_on, parts_of, start
from crisp_server.store import RunFolder

Row = tuple[str, int, RunSummary]


@dataclass(frozen=True)
class Contest:
    """Who is compared, with whom."""

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    baseline: str | None = None
    """Method that the others are held against; absent: `fedavg` if it runs, else the first."""
    held_out: str | None = None
    """Hospital that is held out, where only its federations of all are run."""


def variants(
    study: Study, methods: Sequence[str], seeds: Sequence[int]
) -> Iterator[tuple[str, int, Study]]:
    """Yield (row name, seed, study) for every method, seed and, for `local`, source site, once.

    Steps, augmentation, normalisation and loss are those of `study` throughout.

    Raises:
        UsageError: If a method word is unknown.
    """
    words = dict.fromkeys(word.strip() for word in methods)
    for word in words:
        if not is_method(word):
            raise UsageError(
                expected=f"method words of {', '.join(PRESETS)}, or one +{'|'.join(COMPARATORS)}",
                got=repr(word),
                where="--methods",
                fix="Correct that word",
            )
    for word in words:
        for seed in dict.fromkeys(seeds):
            raw = {**study.model_dump(mode="json"), "seed": seed}
            whole = parse_study(as_method(raw, word), where=f"{study.name} as {word}")
            for part, federation in parts_of(whole).items():
                yield (f"{word} ({part})" if part else word), seed, federation


def compare(
    study: Study,
    contest: Contest,
    folder: Path,
    options: SimulationOptions,
    run_one: Callable[[str, RunFolder], RunSummary] | None = None,
) -> list[Row]:
    """Run every variant that is not finished yet and write `comparison.html`, `.json` and `.md`.

    Each variant has its own run folder, so a comparison that was stopped continues where it was.

    Raises:
        UsageError: If a method word is unknown or the baseline is none of the methods.
    """
    planned = list(variants(study, contest.methods, contest.seeds))
    insist_on_baseline(contest.baseline, [name for name, _, _ in planned])
    rows: list[Row] = []
    for name, seed, variant in planned:
        place = folder / f"{name.replace(' (', '-').rstrip(')')}-seed{seed}"
        run = RunFolder.open(place) if RunFolder.started(place) else start(variant, place, options)
        insist_on_same(run, variant)
        one = run_one(f"{name}, seed {seed}", run) if run_one else carry_on(run, lambda _: None)
        rows.append((name, seed, one))
        write_comparison(rows, folder, baseline=once_run(contest, [row[0] for row in rows]))
    return rows


def insist_on_baseline(baseline: str | None, methods: Sequence[str]) -> None:
    """Refuse, before anything runs, to hold methods against one that does not run.

    Raises:
        UsageError: If the baseline is none of `methods`.
    """
    if baseline is not None and baseline not in methods:
        close = get_close_matches(baseline, methods, n=1)
        raise UsageError(
            expected=f"one of the methods that run: {', '.join(dict.fromkeys(methods))}",
            got=repr(baseline),
            where="--baseline",
            fix=f"Did you mean {close[0]!r}"
            if close
            else "Name one of them, or add it to --methods",
        )


def once_run(contest: Contest, methods: Sequence[str]) -> str | None:
    """Return the baseline as soon as it is among the methods that have run."""
    return contest.baseline if contest.baseline in methods else None


def insist_on_same(run: RunFolder, variant: Study) -> None:
    """Refuse to continue a folder that holds a run of something else.

    Raises:
        UsageError: If it does.
    """
    if run.study != variant:  # not by its hash: that leaves out the places of the data
        raise UsageError(
            expected="run folders of this study",
            got="one of another study",
            where=str(run.path),
            fix="Name another folder with --run",
        )
