"""Try finished models under every artefact on one or more folders of cases.

Example: python -m benchmarks.stress_models runs/crisp runs/fedavg --data DATA/d --modality mr
The last run is the baseline of the others. `results/NAME.json` and `.md` hold means only; answers
are kept beside the runs' pages in --work, so that the same command continues.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.findings import Findings, Row, publish
from crisp_client.device import Workbench
from crisp_client.stress.measure import stress
from crisp_client.stress.record import appending, begin
from crisp_client.stress.subject import Subject, Trials, load_subject, paired, some_of, trials_in
from crisp_core.numerics.corrupt import SEVERITIES, corruptions_of
from crisp_core.report.sheets.sheet import Sheet
from crisp_core.report.stress import write_stress
from crisp_core.report.stress_tables import scores_of, stress_sheets
from crisp_core.schema.stress import StressAnswer, StressPlan

NOTES = (
    "Means over cases on the grid of the images as they came, lost slices included.",
    "drop: clean score minus the score under the artefact, mean over the severities.",
    "low, high: its 95 % interval, drawn by patient; worst: at the severity with the worst mean.",
    "relative: mean drop as a percentage of the last run's; absent where that is below 0.005.",
)


def joined(folders: Sequence[Path], class_count: int, patients: int | None, seed: int) -> Trials:
    """Take the cases of several folders, that many patients of each, under names that differ."""
    cases = []
    for folder in folders:
        own = some_of(trials_in(folder, class_count), patients, seed)
        cases += [
            replace(one, name=f"{own.data}.{one.name}", patient=f"{own.data}.{one.patient}")
            for one in own.cases
        ]
    return Trials(", ".join(folder.resolve().name for folder in folders), "all", tuple(cases))


def answered(
    subjects: Sequence[Subject], trials: Trials, wanted: argparse.Namespace, work: Path
) -> tuple[StressPlan, list[StressAnswer]]:
    """Measure what is not there yet."""
    plan = StressPlan(
        models=tuple(subject.marks for subject in subjects),
        classes=subjects[0].study.classes,
        data=trials.data,
        split=trials.split,
        cases=tuple(one.name for one in trials.cases),
        corruptions=corruptions_of(wanted.modality),
        severities=tuple(wanted.severities),
        seed=wanted.seed,
    )
    answers = list(begin(work, plan))
    bench = Workbench(torch.device("cpu"))
    with appending(work) as file:
        for one in stress(subjects, trials.cases, plan, bench, {a.key for a in answers}):
            file.write(f"{one.model_dump_json()}\n")
            answers.append(one)
            if len(answers) % len(plan.steps) == 0:
                print(f"{len(answers)} of {plan.answer_count}", flush=True)
    return plan, answers


def rows_of(sheets: Sequence[Sheet], model: str) -> Iterator[Row]:
    """Return one row a corruption: Dice and HD95 of a model."""
    dice, hd95 = sheets
    for one, other in zip(dice.rows, hd95.rows, strict=True):
        row: dict[str, str | int | float | None] = {"model": model}
        for heading, entry in zip(dice.headings, one, strict=True):
            row[heading.key.replace("severity_", "Dice at ")] = entry.value
            if heading.key == "drop":
                row |= {"drop, low": entry.low, "drop, high": entry.high}
        keys = [heading.key for heading in hd95.headings]
        for key in ("clean", "drop", "worst"):
            row[f"HD95 mm, {key}"] = other[keys.index(key)].value
        yield row


def arguments() -> argparse.Namespace:
    """Read what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--name", default="stress")
    parser.add_argument("--work", type=Path, default=Path("runs/stress"))
    parser.add_argument("--modality", choices=("any", "ct", "mr"), default="any")
    parser.add_argument("--severities", nargs="+", type=int, default=[*SEVERITIES])
    parser.add_argument("--patients", type=int, help="of each folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Try every run beside the last one."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    bench = Workbench(torch.device("cpu"))
    *runs, last = (load_subject(run, bench) for run in wanted.runs)
    trials = joined(wanted.data, len(last.study.classes), wanted.patients, wanted.seed)
    rows: list[Row] = []
    for place, run in enumerate(runs or [last]):
        subjects = paired(run, last) if runs else (last,)
        work = wanted.work / f"{wanted.name}-{run.marks.name}"
        plan, answers = answered(subjects, trials, wanted, work)
        write_stress(plan, answers, work)
        sheets = stress_sheets(scores_of(plan, answers))
        rows += rows_of(sheets[:2], plan.models[0].name)
        if runs and place == len(runs) - 1:
            rows += rows_of(sheets[3:5], plan.models[1].name)
    patients = len({one.patient for one in trials.cases})
    sample = f"{trials.data}: {len(trials.cases)} cases of {patients} patients, seed {wanted.seed}."
    hashes = ", ".join(f"{one.marks.name} {one.marks.model_hash[:16]}" for one in [*runs, last])
    notes = (*NOTES, sample, f"Models by content hash: {hashes}.")
    publish(Findings(wanted.name, "Models under every artefact", rows, notes))


if __name__ == "__main__":
    main()
