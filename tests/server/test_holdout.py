from __future__ import annotations

import pytest
from federation_samples import description, evaluation, study

from crisp_core.errors import SiteFailedError, StudyError
from crisp_core.schema.messages import ESSENTIAL, METRICS, SiteDescription, SiteFault
from crisp_server.holdout import check_descriptions, select_generation, site_dice, validate
from crisp_server.sites import SiteReply


def test_selection_takes_the_better_worst_site_not_the_better_mean() -> None:
    first = {"east": evaluation("east", [0.90]), "north": evaluation("north", [0.50])}
    second = {"east": evaluation("east", [0.62]), "north": evaluation("north", [0.60])}

    assert select_generation(study(), [first, second]) == 2  # 0.60 beats 0.50; means 0.70 > 0.61


def test_a_mean_that_hides_a_bad_hospital_is_not_selected() -> None:
    hiding = {"east": evaluation("east", [0.90]), "north": evaluation("north", [0.50])}
    even = {"east": evaluation("east", [0.80]), "north": evaluation("north", [0.80])}

    assert select_generation(study(), [hiding, even]) == 2
    assert select_generation(study(), [even, hiding]) == 1


def test_the_last_generation_is_eligible_and_the_earlier_one_wins_a_tie() -> None:
    low, high = {"east": evaluation("east", [0.4])}, {"east": evaluation("east", [0.6])}

    assert select_generation(study(generations=3), [low, low, high]) == 3
    assert select_generation(study(generations=3), [low, high, high]) == 2


def test_a_sites_dice_weighs_every_case_alike() -> None:
    assert site_dice(evaluation("east", [0.2, 0.6, 0.7])) == pytest.approx(0.5)


class Answers:
    """Sites that answer from a table; a site that is not in it stays silent."""

    def __init__(self, replies: dict[str, SiteReply]) -> None:
        self.replies, self.asked = replies, []

    def ask(self, action, plans, parameters):
        self.asked.append((action, tuple(plans)))
        return iter([self.replies[site] for site in plans if site in self.replies])


def test_validation_asks_sources_only() -> None:
    replies = {
        site: SiteReply(site, evaluation(site, [0.5]).model_dump_json())
        for site in ("east", "north")
    }
    sites = Answers(replies)

    measured = validate(study(), 1, {}, sites)

    assert sites.asked == [("evaluate", ("east", "north"))]
    assert list(measured) == ["east", "north"]


def test_a_figure_that_is_missing_at_one_site_is_an_error() -> None:
    silent = Answers({"east": SiteReply("east", evaluation("east", [0.5]).model_dump_json())})
    faulty = Answers(
        {**silent.replies, "north": SiteReply("north", fault=SiteFault(code="data", sentence="no"))}
    )

    with pytest.raises(SiteFailedError, match=r"no answer in time.*north"):
        validate(study(), 1, {}, silent)
    with pytest.raises(SiteFailedError, match=r"data: no.*north"):
        validate(study(), 1, {}, faulty)


def test_a_source_without_validation_patients_stops_the_study_before_round_one() -> None:
    whole = study()
    sites = {name: description(name) for name in whole.sites}
    sites["north"] = sites["north"].model_copy(update={"validation_cases": 0})

    with pytest.raises(StudyError, match=r"validation patient.*'north'"):
        check_descriptions(whole, sites)


def descriptions(**of_south: object) -> dict[str, SiteDescription]:
    sites = {name: description(name) for name in study().sites}
    return {**sites, "south": sites["south"].model_copy(update=of_south)}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (tuple(set(METRICS) - {"dice"}), "'dice' from every site, got .* others only .*'south'"),
        (("Dice", *sorted(set(METRICS) - {"dice"})), "'dice'.* spelled otherwise only .*'south'"),
        (("dice",), "'hd95_mm' from every site.*'south'"),
    ],
)
def test_a_metric_that_one_site_keeps_or_spells_otherwise_stops_the_study_before_round_one(
    metrics: tuple[str, ...], said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        check_descriptions(study(), descriptions(metrics=metrics))


@pytest.mark.parametrize("metrics", [METRICS, ESSENTIAL])
def test_a_site_whose_policy_names_every_metric_or_the_essential_ones_takes_part(
    metrics: tuple[str, ...],
) -> None:
    check_descriptions(study(), descriptions(metrics=metrics))


@pytest.mark.parametrize("flaw", [{"cases": ()}, {"structures": {}}, {"chosen": 2}])
def test_an_evaluation_without_a_figure_that_the_selection_needs_is_an_error(flaw: dict) -> None:
    whole = evaluation("east", [0.5])
    (case,) = whole.cases
    bare = case.recursions[0].model_copy(update={"structures": flaw.get("structures", {"LV": 0})})
    if "structures" in flaw:
        case = case.model_copy(update={"recursions": (bare,)})
    case = case.model_copy(update={"chosen": flaw.get("chosen", 1)})
    odd = whole.model_copy(update={"cases": flaw.get("cases", (case,))})
    replies = {
        "east": SiteReply("east", odd.model_dump_json()),
        "north": SiteReply("north", evaluation("north", [0.5]).model_dump_json()),
    }

    with pytest.raises(SiteFailedError, match="evaluation of site 'east'"):
        validate(study(), 1, {}, Answers(replies))
