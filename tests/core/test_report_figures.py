from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import run_summary

from crisp_core.numerics.statistics import Interval
from crisp_core.report.curves import Chart, Curve, hint_charts, loss_charts, pass_charts
from crisp_core.report.figures import (
    Box,
    box,
    box_strip,
    dot_strip,
    dots_strip,
    line_chart,
    site_styles,
)
from crisp_core.report.scales import MARGIN, UNIT_SCALE, scale_over
from crisp_core.report.svg import element

shares = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def quantile_by_the_book(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def test_a_box_of_nine_numbers_is_read_off_the_row() -> None:
    # 0 1 |2| 3 |4| 5 |6| 7 8: quartiles 2, 4, 6; whiskers reach 2 - 6 and 6 + 6, so 0 and 8
    assert box(range(9)) == Box(0.0, 2.0, 4.0, 6.0, 8.0)


@given(shares)
def test_quartiles_agree_with_the_book(values: list[float]) -> None:
    plot = box(values)

    expected = [quantile_by_the_book(values, share) for share in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose([plot.quartile_1, plot.median, plot.quartile_3], expected, atol=1e-9)


@given(shares)
def test_an_axis_holds_its_values_in_rising_order(values: list[float]) -> None:
    scale = scale_over(values)

    low, high = scale.ticks[0], scale.ticks[-1]
    assert low <= min(values) + 1e-9
    assert max(values) - 1e-9 <= high <= 1 + 1e-9
    assert list(scale.ticks) == sorted(set(scale.ticks))


@given(st.lists(st.floats(0, 1e6), max_size=8))
def test_an_axis_of_any_figures_has_few_ticks_and_no_negative_one(values: list[float]) -> None:
    scale = scale_over(values)

    assert 2 <= len(scale.ticks) <= 8
    assert scale.ticks[0] >= 0


def test_the_ends_of_an_axis_keep_a_margin() -> None:
    assert UNIT_SCALE.place(0) == MARGIN
    assert UNIT_SCALE.place(1) == pytest.approx(1 - MARGIN)
    assert UNIT_SCALE.place(7) == UNIT_SCALE.place(1)


def test_noise_does_not_fill_an_axis() -> None:
    scale = scale_over([0.960, 0.961])

    assert scale.ticks[-1] - scale.ticks[0] >= 0.09


def test_an_element_escapes_attributes_and_children() -> None:
    drawn = element("text", "<script>", title='"><script>')

    assert str(drawn).count("<") == 2  # <text ...> and </text>


def test_a_mean_of_one_patient_is_a_dot_without_a_line() -> None:
    alone = Interval(mean=0.5, low=None, high=None, sd=None, count=1, cluster_count=1)

    drawn = dot_strip(alone, UNIT_SCALE, "h0", "one patient")

    assert 'cx="50%"' in drawn
    assert "interval" not in drawn


def test_a_dot_lies_where_its_mean_is() -> None:
    drawn = dots_strip([0.4, 0.6], UNIT_SCALE, "h0", "two seeds")

    assert drawn.count("<circle") == 3  # two seeds and their mean
    assert 'cx="50%"' in drawn


def test_a_box_plot_shows_every_case_with_its_name() -> None:
    drawn = box_strip({"case <1>": 0.5, "case 2": 0.7}, UNIT_SCALE, "h0", "two cases")

    assert drawn.count("<circle") == 2
    assert "case &lt;1&gt;: 0.500" in drawn


def test_a_gap_breaks_a_curve() -> None:
    curve = Curve("north", "source", (0.5, None, 0.7, 0.8))
    chart = Chart("Core recall", "", "Pass", (1, 2, 3, 4), (curve,))

    drawn = line_chart(chart, {"north": "s0"})

    assert drawn.count('class="point"') == 3
    assert drawn.count('class="curve"') == 1  # from 3 to 4


def test_a_chart_of_one_pass_is_a_point() -> None:
    chart = Chart("Dice", "", "Pass", (1,), (Curve("north", "source", (0.5,)),))

    drawn = line_chart(chart, {"north": "s0"})

    assert drawn.count('class="point"') == 1


def test_held_out_sites_have_colours_and_sources_greys() -> None:
    roles = {"d": "held-out", "a": "source", "e": "held-out", "b": "source"}

    assert site_styles(roles) == {"d": "h0", "e": "h1", "a": "s0", "b": "s1"}


def test_curves_follow_the_means_over_cases() -> None:
    summary = run_summary()

    uncertain = pass_charts(summary, ["vendor-d"])[2]

    assert uncertain.curves[0].values == (0.5, 0.25, pytest.approx(0.5 / 3))


def test_a_round_without_a_site_is_a_gap_in_its_loss() -> None:
    curves = {curve.site: curve.values for curve in loss_charts(run_summary())[0].curves}

    assert [value is None for value in curves["vendor-c"]] == [False, False, True] + [False] * 3


def test_hints_are_drawn_for_the_generations_that_made_some() -> None:
    assert hint_charts(run_summary())[0].x_values == (2, 3)
