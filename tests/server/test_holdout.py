from __future__ import annotations

import pytest
from federation_samples import description, evaluation, study

from crisp_core.errors import SiteFailedError, StudyError
from crisp_core.schema.messages import SiteFault
from crisp_server.holdout import check_descriptions, select_generation, site_dice, validate
from crisp_server.sites import SiteReply


def test_selection_takes_the_better_worst_site_not_the_better_mean() -> None:
    first = {"east": evaluation("east", [0.90]), "north": evaluation("north", [0.50])}
    second = {"east": evaluation("east", [0.62]), "north": evaluation("north", [0.60])}

    assert select_generation(study(), [first, second]) == 2  # 0.60 beats 0.50; means 0.70 > 0.61


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


def test_a_class_that_one_site_does_not_have_stops_the_study_and_names_the_site() -> None:
    whole = study()
    sites = {name: description(name) for name in whole.sites}
    sites["south"] = sites["south"].model_copy(update={"class_voxels": {"LV": 0}})

    with pytest.raises(StudyError, match=r"'LV' at every site, got not one voxel of it at south"):
        check_descriptions(whole, sites)
