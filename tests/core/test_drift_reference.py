from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from report_samples import run_summary

from crisp_core.files.drift_reference import drift_reference_of, sample_reference
from crisp_core.files.released import read_card, released_of, write_released
from crisp_core.numerics.drift import sample_of
from crisp_core.schema.description import DataProfile
from crisp_core.schema.drift import SampleReference, on_scale
from crisp_core.schema.risk import RiskRule
from crisp_core.schema.summary import RunSummary


def with_profiles(summary: RunSummary) -> RunSummary:
    """Give each source an intensity range of its own."""
    sites = {
        name: site.model_copy(update={"data": profile(100.0 * number)})
        for number, (name, site) in enumerate(summary.sites.items(), start=1)
    }
    return summary.model_copy(update={"sites": sites})


def profile(middle: float) -> DataProfile:
    return DataProfile(
        orientations={"LPS": 30},
        shape=(10.0, 256.0, 256.0),
        spacing_mm=(8.0, 1.4, 1.4),
        unlike_spacings=0,
        percentiles=((0.0, middle, 4 * middle),),
        whole_numbers=True,
        spread_mm=None,
        structures={},
    )


def test_entropies_are_those_of_the_answers_of_the_selected_generation() -> None:
    summary = run_summary().model_copy(update={"selected_generation": 2})

    reference = drift_reference_of(summary)

    answers = summary.generations[1].validation.values()
    entropies = [case.answer.entropy for one in answers for case in one.cases]
    assert reference.cases == reference.samples["entropy"].count == len(entropies) == 18
    assert reference.samples["entropy"].quantiles == sample_of(entropies).quantiles
    scaled = sample_of([on_scale("entropy", value) for value in entropies])
    assert reference.samples["entropy"].mean == pytest.approx(scaled.mean)


def test_a_volume_is_the_predicted_one_in_millilitres() -> None:
    summary = run_summary()
    generation = summary.generations[-1]
    for number, answer in enumerate(generation.validation.values()):
        for place, case in enumerate(answer.cases):
            for one in case.recursions:
                volume = 50.0 + 10 * number + place
                one.structures["myocardium"] = one.structures["myocardium"].model_copy(
                    update={"reference_ml": volume + 5, "volume_error_ml": -5.0}
                )
                one.structures["left-ventricle"] = one.structures["left-ventricle"].model_copy(
                    update={"reference_ml": None, "volume_error_ml": None}
                )

    reference = drift_reference_of(summary)

    assert reference.samples["volume:myocardium"].quantiles[-1] < 75
    assert reference.samples["volume:myocardium"].quantiles[0] > 50
    assert "volume:left-ventricle" not in reference.samples  # without a volume in ml


def test_spacings_and_intensities_are_a_median_a_source() -> None:
    reference = drift_reference_of(with_profiles(run_summary()))

    assert [median.value for median in reference.medians["spacing:x"]] == [8.0] * 3
    assert [m.value for m in reference.medians["intensity:1:median"]] == [100.0, 200.0, 300.0]
    assert [m.value for m in reference.medians["intensity:1:high"]] == [400.0, 800.0, 1200.0]
    assert [m.cases for m in reference.medians["spacing:z"]] == [36 + 6 + 12, 46, 42 + 6 + 14]


def test_the_flag_rate_is_that_of_the_rule() -> None:
    rule = RiskRule(
        quantiles={},
        review=0.5,
        reject=0.9,
        catch_rate=0.9,
        basis="failures",
        case_count=18,
        failure_count=3,
        flagged=4 / 18,
    )

    reference = drift_reference_of(run_summary().model_copy(update={"risk": rule}))

    assert reference.flagged is not None
    assert (reference.flagged.hits, reference.flagged.count) == (4, 18)
    assert drift_reference_of(run_summary().model_copy(update={"risk": None})).flagged is None


def test_a_run_without_validation_cases_keeps_its_medians() -> None:
    summary = run_summary()
    generations = tuple(g.model_copy(update={"validation": {}}) for g in summary.generations)

    reference = drift_reference_of(summary.model_copy(update={"generations": generations}))

    assert (reference.cases, reference.samples) == (0, {})
    assert reference.medians


def test_the_reference_travels_in_the_released_models_card(tmp_path) -> None:
    model = released_of(run_summary())
    write_released(tmp_path, model)

    assert read_card(tmp_path).reference == model.reference == drift_reference_of(run_summary())


def test_no_case_can_be_found_in_a_reference() -> None:
    summary = run_summary()

    text = drift_reference_of(summary).model_dump_json()

    names = {
        name
        for answer in summary.generations[-1].validation.values()
        for case in answer.cases
        for name in (case.case, case.patient)
    }
    assert not [name for name in names if name in text]


@pytest.mark.parametrize("values", [[1.0] * 30, [1.0, 2.0], [3.0] + [8.0] * 19])
def test_a_figure_that_hardly_varies_has_no_sample(values: list[float]) -> None:
    assert sample_reference("entropy", values) is None


@pytest.mark.parametrize(
    ("levels", "quantiles"),
    [((0.5,), (1.0, 2.0)), ((0.5, 0.4), (1.0, 2.0)), ((0.4, 0.5), (2.0, 1.0))],
)
def test_quantiles_that_do_not_rise_are_refused(
    levels: tuple[float, ...], quantiles: tuple[float, ...]
) -> None:
    with pytest.raises(ValidationError):
        SampleReference(count=20, mean=0.0, sd=1.0, levels=levels, quantiles=quantiles)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.sampled_from(["entropy", "volume:a", "spacing:z"]))
def test_a_scale_keeps_the_order(one: float, other: float, feature: str) -> None:
    low, high = sorted((one, other))

    assert on_scale(feature, low) <= on_scale(feature, high)
