"""A run that never happened: three sources, two held-out sites, two classes, three recursions."""

from __future__ import annotations

import numpy as np

from crisp_core.schema.frozen import Frozen
from crisp_core.schema.messages import (
    CaseFigures,
    Evaluation,
    HintFigures,
    RecursionFigures,
    SiteDescription,
    Split,
    StructureFigures,
    TaxonomyFigures,
    TrainFigures,
)
from crisp_core.schema.reliability import Bins, Reliability
from crisp_core.schema.risk import RiskEvidence, RiskRule
from crisp_core.schema.study import CrispConfig, EvaluationConfig, SiteEntry, Study
from crisp_core.schema.summary import GenerationSummary, Panel, RoundSummary, RunSummary

CLASSES = ("left-ventricle", "myocardium")
SOURCES = {"vendor-a": 0.90, "vendor-b": 0.86, "vendor-c": 0.88}
HELD_OUT = {"vendor-d": 0.71, "vendor-e": 0.82}
GAIN_PER_RECURSION = {"vendor-d": 0.03, "vendor-e": -0.03}
CASES = {"vendor-a": 12, "vendor-b": 10, "vendor-c": 14, "vendor-d": 16, "vendor-e": 12}
HASH = "3f9c1b2a7d4e5f60" * 4


def structure(dice: float, *, missed: bool = False) -> StructureFigures:
    distance = 120.0 if missed else 22 * (1 - dice) + 0.5
    return StructureFigures(
        dice=0.0 if missed else dice,
        hd95_mm=distance,
        hd95_voxels=distance / 1.5,
        sensitivity=0.0 if missed else min(1.0, dice + 0.02),
        precision=None if missed else max(0.0, dice - 0.01),
        volume_error=-1.0 if missed else (0.9 - dice) / 2,
        reference_voxels=900,
        predicted_voxels=0 if missed else 880,
        core_precision=None if missed else min(1.0, dice + 0.09),
        core_recall=dice * 0.5,
        support_precision=dice * 0.1,
        support_recall=min(1.0, dice + 0.12),
        hd95_union_mm=distance,
        hd95_max_mm=1.1 * distance,
        assd_mm=distance / 4,
        surface_dice=0.0 if missed else min(1.0, dice + 0.05),
        reference_ml=82.0 + 40 * dice,
        volume_error_ml=(0.9 - dice) * 25,
        lesions_reference=2,
        lesions_found=0 if missed else 1 + (dice > 0.8),
        lesions_predicted=0 if missed else 2,
        lesions_false=0,
        auc=0.9 + 0.1 * dice,
        positive_probability=dice**2,
        dice_by_third=(dice - 0.05, dice, dice - 0.1),
    )


def taxonomy(dice: float) -> TaxonomyFigures:
    return TaxonomyFigures(
        under_segmented=dice < 0.7,
        leakage_ml=3 * (1 - dice),
        distant_ml=0.4 if dice < 0.68 else 0.0,
        distant_components=int(dice < 0.68),
        offset_mm=(0.0, 3.0 * (1 - dice), -4.0 * (1 - dice)),
    )


def bins(level: float, scale: int = 1000) -> Bins:
    """Fifteen bins; the lower `level`, the more confident beyond its accuracy."""
    counts = [0] * 5 + [scale * (b - 4) ** 2 for b in range(5, 15)]
    sure = [(b + 0.5) / 15 for b in range(15)]
    right = [min(1.0, max(0.0, one - (0.95 - level) * (1 - one) * 2)) for one in sure]
    return Bins(
        counts=tuple(counts),
        confidence_sums=tuple(n * one for n, one in zip(counts, sure, strict=True)),
        correct_counts=tuple(round(n * one) for n, one in zip(counts, right, strict=True)),
    )


def reliability(level: float) -> Reliability:
    classes = {name: bins(level, 100) for name in ("background", *CLASSES)}
    return Reliability(top_label=bins(level), classes=classes)


def evidence(dice: float) -> RiskEvidence:
    return RiskEvidence(
        uncertain_fraction=min(1.0, 1.1 - dice),
        core_support_agreement=dice / 2,
        recursion_change=(1 - dice) / 3,
        entropy=1.2 - dice,
    )


def recursion(dice: float, number: int, *, missed: bool = False) -> RecursionFigures:
    return RecursionFigures(
        structures={
            CLASSES[0]: structure(min(1.0, dice + 0.04)),
            CLASSES[1]: structure(dice - 0.04, missed=missed),
        },
        uncertain=0.5 / number,
        support_coverage=0.95 - 0.05 * number,
        changed=None if number == 1 else 0.04 / number,
        entropy=1.2 - dice,
        mean_entropy=(1.2 - dice) / 2,
        mutual_information=(1.1 - dice) / 20,
        brier=(1 - dice) / 2,
    )


def case(site: str, index: int, level: float, recursions: int = 3) -> CaseFigures:
    wobble = float(np.random.default_rng([len(site), index, ord(site[-1])]).normal(0, 0.035))
    gain = GAIN_PER_RECURSION.get(site, 0.003)
    dices = [min(0.96, max(0.1, level + wobble + gain * g)) for g in range(recursions)]
    missed = site == "vendor-d" and index == 3
    return CaseFigures(
        case=f"{site}-c{index:02d}",
        patient=f"{site}-p{index // 2:02d}",
        recursions=tuple(recursion(dice, g + 1, missed=missed) for g, dice in enumerate(dices)),
        chosen=1 + dices.index(max(dices)),
        evidence=evidence(max(dices)),
        strata={
            "phase": "ED" if index % 2 else "ES",
            "size": "1 to 10 ml" if index < 3 else "above 10 ml",
        },
        artefact=0.1 * (index % 4),
        errors={name: taxonomy(max(dices)) for name in CLASSES},
    )


def evaluation(site: str, level: float, split: Split, count: int | None = None) -> Evaluation:
    cases = range(CASES[site] if count is None else count)
    return Evaluation(
        site=site,
        split=split,
        cases=tuple(case(site, i, level) for i in cases),
        seconds=41.5,
        reliability=reliability(level),
    )


def description(site: str) -> SiteDescription:
    held_out = site in HELD_OUT
    return SiteDescription(
        site=site,
        role="held-out" if held_out else "source",
        train_cases=0 if held_out else 3 * CASES[site],
        validation_cases=0 if held_out else 6,
        test_cases=CASES[site],
        patients=CASES[site] * 2,
        train_slices=0 if held_out else 31 * CASES[site],
        class_voxels=dict.fromkeys(CLASSES, 48_210 * CASES[site]),
        spacing_mm_median=(1.4, 1.4, 9.6 if held_out else 8.0),
        software={"crisp": "0.1.0", "torch": "2.15.0"},
        device="cpu",
    )


def train_figures(site: str, generation: int, round_number: int) -> TrainFigures:
    progress = 2 * (generation - 1) + round_number
    return TrainFigures(
        case_count=3 * CASES[site],
        steps=150,
        loss_first=1.0 / progress,
        loss_last=0.8 / progress + 0.01 * ord(site[-1]) % 0.05,
        squeeze_last=0.02 / progress,
        noise_ratio=0.55,
        seconds=63.0,
    )


def round_summary(generation: int, round_number: int) -> RoundSummary:
    missing = (
        {"vendor-c": "no answer within 3600 s"} if (generation, round_number) == (2, 1) else {}
    )
    trained = {
        site: train_figures(site, generation, round_number)
        for site in SOURCES
        if site not in missing
    }
    return RoundSummary(
        generation=generation, round_number=round_number, trained=trained, missing=missing
    )


def hint_figures(site: str, generation: int) -> HintFigures:
    return HintFigures(
        case_count=3 * CASES[site],
        core_precision=0.94 + 0.01 * generation,
        core_recall=0.30 + 0.06 * generation,
        support_precision=0.08,
        support_recall=0.98,
        support_coverage=0.97 - 0.02 * generation,
        uncertain=0.90 - 0.1 * generation,
        changed=None if generation == 2 else 0.06,
        pixels_changed=None if generation == 2 else 0.021,
        seconds=12.0,
    )


def generation_summary(generation: int) -> GenerationSummary:
    hints = {site: hint_figures(site, generation) for site in SOURCES} if generation > 1 else {}
    validation = {
        site: evaluation(site, level - 0.06 / generation, "validation", 6)
        for site, level in SOURCES.items()
    }
    return GenerationSummary(
        generation=generation, hints=hints, validation=validation, model_hash=HASH[generation:]
    )


def study(seed: int = 0, name: str = "cardiac-five-vendors") -> Study:
    return Study(
        name=name,
        seed=seed,
        classes=CLASSES,
        sites={
            **{site: SiteEntry(role="source", data=("/data/x",)) for site in SOURCES},
            **{site: SiteEntry(role="held-out", data=("/data/x",)) for site in HELD_OUT},
        },
        crisp=CrispConfig(),
        evaluation=EvaluationConfig(bootstrap_samples=200),
    )


def run_summary(*, shift: float = 0.0, seed: int = 0, warnings: tuple[str, ...] = ()) -> RunSummary:
    """Return the run; `shift` is added to every held-out site's Dice."""
    levels = {**SOURCES, **{site: level + shift for site, level in HELD_OUT.items()}}
    plan = study(seed)
    return RunSummary(
        study=plan,
        study_hash=plan.hash(),
        engine="inline",
        versions={"crisp-fl": "0.1.0", "flwr": "1.41.0", "torch": "2.15.0", "python": "3.11.7"},
        sites={site: description(site) for site in levels},
        rounds=tuple(round_summary(k, r) for k in (1, 2, 3) for r in (1, 2)),
        generations=tuple(generation_summary(k) for k in (1, 2, 3)),
        selected_generation=3,
        converged_at=None,
        final={
            site: evaluation(site, level, "all" if site in HELD_OUT else "test")
            for site, level in levels.items()
        },
        model_hash=HASH,
        risk=risk_rule(),
        started="2026-11-20T08:00:00Z",
        finished="2026-11-20T08:21:04Z",
        seconds=1264.0,
        site_seconds=1207.5,
        commands=("crisp simulate study.toml --out runs/one", "crisp report runs/one"),
        warnings=warnings,
        ledger=(
            {"line": 1, "event": "describe", "site": "vendor-a", "bytes": 812},
            {"line": 2, "event": "update", "site": "vendor-b", "bytes": 1_402_113, "round": 1},
        ),
    )


def bare_summary() -> RunSummary:
    """Return the run as a version wrote it whose sites sent the required figures alone."""
    summary = run_summary()
    final = {
        site: own.model_copy(
            update={"reliability": None, "cases": tuple(map(bare_case, own.cases))}
        )
        for site, own in summary.final.items()
    }
    return summary.model_copy(update={"final": final, "risk": None})


def bare_case(one: CaseFigures) -> CaseFigures:
    """Leave out every figure of a case that is not required."""

    def old(value: Frozen, **deeper: object) -> dict[str, object]:
        fields = type(value).model_fields.items()
        required = {name: getattr(value, name) for name, f in fields if f.is_required()}
        return {**required, **deeper}

    recursions = tuple(
        RecursionFigures.model_validate(
            old(each, structures={name: old(f) for name, f in each.structures.items()})
        )
        for each in one.recursions
    )
    return CaseFigures.model_validate(old(one, recursions=recursions))


def risk_rule() -> RiskRule:
    """Places in 0..1 of four pieces of evidence; vendor-d has an answer that it misses."""
    levels = tuple(index / 10 for index in range(11))
    return RiskRule(
        quantiles=dict.fromkeys(("uncertain", "disagreement", "changed", "entropy"), levels),
        review=0.3,
        reject=0.45,
        catch_rate=0.9,
        basis="quantiles",
        case_count=18,
        failure_count=2,
        flagged=0.2,
    )


def panels(views: dict[str, str]) -> tuple[Panel, ...]:
    """Return three panels of vendor-d, the best first, all with the same pictures."""
    return (
        Panel(site="vendor-d", case="vendor-d-c02", place="best", dice=0.84, views=views),
        Panel(site="vendor-d", case="vendor-d-c03", place="worst", dice=0.41, views=views),
        Panel(site="vendor-d", case="vendor-d-c07", place="median", dice=0.72, views=views),
    )
