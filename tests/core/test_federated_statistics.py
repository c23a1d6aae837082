"""What the sites send, joined, is what their cases would give in one place."""

from __future__ import annotations

import numpy as np
import pytest
from report_samples import run_summary, structure

from crisp_client.measuring.answer import joined_reliability
from crisp_client.redaction import redacted
from crisp_core.numerics.calibration import ReliabilityBins, class_bins, top_label_bins
from crisp_core.numerics.significance import holm, paired_p
from crisp_core.report.analysis.calibration import Calibration, calibrations
from crisp_core.report.analysis.volumes import agreements
from crisp_core.report.tables import DICE, Bootstrap, structure_row
from crisp_core.schema.messages import CaseFigures, Evaluation, RecursionFigures
from crisp_core.schema.policy import Policy
from crisp_core.schema.study import SiteEntry
from crisp_core.schema.summary import RunSummary

SITES = {"east": 7, "north": 12, "south": 5}
CLASSES = ("LV", "MYO")
EXACT = 1e-9


def voxels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (3, 400) and labels (400,) that somewhat agree."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(3, 400)) * 2
    odds = np.exp(scores)
    return odds / odds.sum(axis=0), (scores + generator.normal(size=scores.shape)).argmax(axis=0)


def case(site: str, number: int, shift: float = 0.0) -> CaseFigures:
    generator = np.random.default_rng([ord(site[0]), number])
    figures = {}
    for name in CLASSES:
        dice = min(1.0, float(generator.uniform(0.3, 1.0)) + shift)
        reference, error = generator.uniform(20, 120), generator.normal(-2, 6)
        volumes = {"reference_ml": float(reference), "volume_error_ml": float(error)}
        figures[name] = structure(dice).model_copy(update=volumes)
    recursion = RecursionFigures(
        structures=figures,
        uncertain=0.1,
        support_coverage=0.5,
        changed=None,
        entropy=0.2,
        brier=float(generator.uniform(0, 0.4)),
    )
    patient = f"{site}-p{number // 2}"
    return CaseFigures(case=f"{site}-{number}", patient=patient, recursions=(recursion,), chosen=1)


def bins(seed: int) -> tuple[ReliabilityBins, ...]:
    probabilities, labels = voxels(seed)
    inside = np.ones(labels.shape, bool)
    own = class_bins(probabilities, labels, inside)
    return (top_label_bins(probabilities, labels, inside), *own)


def seeds(site: str) -> list[int]:
    return [1000 * ord(site[0]) + number for number in range(SITES[site])]


def as_sent(evaluation: Evaluation) -> Evaluation:
    """Through the hospital's door and over the wire."""
    left = redacted(evaluation, Policy(min_cohort=2))
    return Evaluation.model_validate_json(left.model_dump_json())


def measured(name: str, sites: list[str], shift: float = 0.0) -> Evaluation:
    return Evaluation(
        site=name,
        split="all",
        cases=tuple(case(s, number, shift) for s in sites for number in range(SITES[s])),
        seconds=1.0,
        reliability=joined_reliability(CLASSES, [bins(seed) for s in sites for seed in seeds(s)]),
    )


FEDERATED = [as_sent(measured(site, [site])) for site in SITES]
POOLED = measured("all", list(SITES))
TOGETHER = "all held-out"


def run_of(evaluations: list[Evaluation]) -> RunSummary:
    """A run in which none of these sites trained."""
    plain = run_summary()
    sites = {one.site: SiteEntry(role="held-out") for one in evaluations}
    study = plain.study.model_copy(update={"classes": CLASSES, "sites": sites})
    final = {one.site: one for one in evaluations}
    return plain.model_copy(update={"study": study, "final": final})


def calibrated(evaluations: list[Evaluation]) -> dict[str, Calibration]:
    found = calibrations(run_of(evaluations), [one.site for one in evaluations])
    return {one.group.name: one for one in found}


def test_calibration_of_the_sites_joined_is_that_of_all_their_voxels() -> None:
    everything = [voxels(seed) for site in SITES for seed in seeds(site)]
    probabilities = np.concatenate([p for p, _ in everything], axis=1)
    labels = np.concatenate([found for _, found in everything])
    inside = np.ones(labels.shape, bool)

    row = calibrated(FEDERATED)[TOGETHER]

    pooled = top_label_bins(probabilities, labels, inside)
    assert row.error == pytest.approx(pooled.expected_calibration_error, abs=EXACT)
    assert row.top_label.counts.tolist() == pooled.counts.tolist()
    errors = [one.expected_calibration_error for one in class_bins(probabilities, labels, inside)]
    assert list(row.class_errors.values()) == pytest.approx(errors, abs=EXACT)
    assert row.class_error == pytest.approx(np.mean(errors), abs=EXACT)


def test_brier_and_its_spread_are_those_of_all_cases() -> None:
    scores = [one.answer.brier for one in POOLED.cases]

    row = calibrated(FEDERATED)[TOGETHER]

    assert row.brier.mean == pytest.approx(np.mean(scores), abs=EXACT)
    assert row.brier.sd == pytest.approx(np.std(scores, ddof=1), abs=EXACT)


def test_bland_and_altmans_limits_are_those_of_all_cases() -> None:
    errors = [one.answer.structures["LV"].volume_error_ml for one in POOLED.cases]

    found = agreements(run_of(FEDERATED), list(SITES))
    row = next(one for one in found if (one.group.name, one.structure) == (TOGETHER, "LV"))

    bias, spread = np.mean(errors), np.std(errors, ddof=1)
    assert row.limits is not None
    assert row.limits.bias == pytest.approx(bias, abs=EXACT)
    assert row.limits.low == pytest.approx(bias - 1.96 * spread, abs=EXACT)
    assert row.limits.high == pytest.approx(bias + 1.96 * spread, abs=EXACT)
    assert len(row.pairs) == len(POOLED.cases)


def test_mean_spread_and_interval_by_patient_are_those_of_all_cases() -> None:
    joined = POOLED.model_copy(
        update={"cases": tuple(one for site in FEDERATED for one in site.cases)}
    )
    bootstrap = Bootstrap(500, "key")

    here = structure_row(joined, CLASSES, "all", bootstrap).metrics[DICE.key]
    there = structure_row(POOLED, CLASSES, "all", bootstrap).metrics[DICE.key]

    assert here is not None
    assert there is not None
    for name in ("mean", "sd", "low", "high"):
        assert getattr(here, name) == pytest.approx(getattr(there, name), abs=EXACT)
    assert here.cluster_count == there.cluster_count == sum(-(-n // 2) for n in SITES.values())


def test_paired_p_values_are_those_of_all_patients() -> None:
    better = [as_sent(measured(site, [site], shift=0.02)) for site in SITES]

    def patients(evaluations: list[Evaluation], name: str) -> list[float]:
        values: dict[str, list[float]] = {}
        for one in evaluations:
            for found in one.cases:
                values.setdefault(found.patient, []).append(found.answer.structures[name].dice)
        return [float(np.mean(values[patient])) for patient in sorted(values)]

    def adjusted(first: list[Evaluation], second: list[Evaluation]) -> tuple[float, ...]:
        return holm([paired_p(patients(first, n), patients(second, n)) for n in CLASSES])

    assert adjusted(FEDERATED, better) == pytest.approx(
        adjusted([POOLED], [measured("all", list(SITES), shift=0.02)]), abs=EXACT
    )
