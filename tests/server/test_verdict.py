from __future__ import annotations

import json
from typing import Any

import pytest
from federation_samples import description, study
from pydantic import ValidationError

from crisp_core.errors import StudyError
from crisp_core.schema.description import DataProfile, Machine, StructureProfile, VerdictLine
from crisp_core.schema.messages import METRICS, SiteDescription
from crisp_core.schema.policy import Policy
from crisp_core.schema.study import Study
from crisp_server.verdict import Window, insist_on_fit, sentences_of, verdict

CLASSES = ("cavity", "muscle")
SITES = ("east", "north", "south")
NOW = 1_000_000.0
CAVITY = StructureProfile(
    patients=8,
    volume_ml=120.0,
    background_share=0.1,
    offset=(0.02, 0.0, 0.05),
    intensity=(0.2,),
)
MUSCLE = StructureProfile(
    patients=8,
    volume_ml=150.0,
    background_share=0.9,
    offset=(-0.02, 0.0, -0.05),
    intensity=(-0.6,),
)
PROFILE = DataProfile(
    orientations={"LPS": 8},
    shape=(60.0, 200.0, 200.0),
    spacing_mm=(1.5, 1.0, 1.0),
    unlike_spacings=0,
    percentiles=((0.0, 100.0, 1000.0),),
    whole_numbers=True,
    spread_mm=(20.0, 15.0, 25.0),
    structures={"cavity": CAVITY, "muscle": MUSCLE},
)


def two_classes(accept: tuple[str, ...] = ()) -> Study:
    whole = study()
    federation = whole.federation.model_copy(update={"accept_verdict": accept})
    return whole.model_copy(update={"classes": CLASSES, "federation": federation})


def site(name: str, profile: DataProfile | None = PROFILE, **keys: Any) -> SiteDescription:
    return description(name).model_copy(
        update={
            "class_voxels": {"cavity": 100, "muscle": 200},
            "software": {"crisp-fl": "0.1.0", "torch": "2.15.0"},
            "machine": Machine(cpu_count=2, gpu_memory_bytes=0, free_disk_bytes=10**9, clock_s=NOW),
            "data": profile,
            **keys,
        }
    )


def spaced(*spacing_mm: float) -> DataProfile:
    shape = tuple(length / mm for length, mm in zip((90.0, 200.0, 200.0), spacing_mm, strict=True))
    return PROFILE.model_copy(update={"spacing_mm": spacing_mm, "shape": shape})


def lines_of(*changed: SiteDescription, sites: tuple[str, ...] = SITES) -> list[VerdictLine]:
    """Return all lines that are not ok, with every site sound but the changed ones."""
    told = {name: site(name) for name in sites} | {one.site: one for one in changed}
    found = verdict(two_classes(), told, Window(NOW - 10, NOW + 10))
    return [line for line in found if line.level != "ok"]


def test_sites_alike_are_fine_each_in_one_line() -> None:
    found = verdict(two_classes(), {name: site(name) for name in SITES})

    assert [(line.name, line.level) for line in found] == [
        ("east:data", "ok"),
        ("north:data", "ok"),
        ("south:data", "ok"),
    ]


def test_exchanged_labels_are_an_error_at_one_site_with_the_exchange_as_its_fix() -> None:
    swapped = PROFILE.model_copy(update={"structures": {"cavity": MUSCLE, "muscle": CAVITY}})

    (line,) = lines_of(site("north", swapped))

    assert (line.name, line.level) == ("north:labels", "error")
    assert "'cavity' looks like 'muscle'" in line.sentence
    assert "1 to 2, 2 to 1" in line.fix


def test_where_one_stands_against_one_both_are_named_and_nobody_is_blamed() -> None:
    swapped = PROFILE.model_copy(update={"structures": {"cavity": MUSCLE, "muscle": CAVITY}})

    found = lines_of(site("north", swapped), sites=("east", "north"))

    assert [line.name for line in found] == ["east:labels", "north:labels"]
    assert all("nobody can tell which of them is right" in line.sentence for line in found)


def test_turned_volumes_are_an_error() -> None:
    apart = CAVITY.model_copy(update={"offset": (0.0, 0.0, 0.7)})
    beside = MUSCLE.model_copy(update={"offset": (0.0, 0.0, -0.7)})
    upright = PROFILE.model_copy(update={"structures": {"cavity": apart, "muscle": beside}})
    lying = PROFILE.model_copy(
        update={
            "spread_mm": (20.0, 25.0, 15.0),
            "structures": {
                "cavity": apart.model_copy(update={"offset": (0.0, 0.7, 0.0)}),
                "muscle": beside.model_copy(update={"offset": (0.0, -0.7, 0.0)}),
            },
        }
    )

    (line,) = lines_of(site("east", lying), site("north", upright), site("south", upright))

    assert (line.name, line.level) == ("east:axes", "error")
    assert "its columns are their rows, its rows are their columns" in line.sentence


def test_a_volume_that_is_long_where_others_are_short_has_its_axes_exchanged() -> None:
    exchanged = PROFILE.model_copy(
        update={"shape": (600.0, 200.0, 20.0)}  # 900 x 200 x 20 mm beside 90 x 200 x 200
    )

    (line,) = lines_of(site("east", exchanged))

    assert (line.name, line.level) == ("east:axes", "error")
    assert "900 x 200 x 20 mm" in line.sentence


@pytest.mark.parametrize(
    ("spacing_mm", "level", "words"),
    [
        ((5.0, 1.0, 1.0), "warning", "slices are 5 mm apart; 1.5 mm at east, 1.5 mm at south"),
        ((15.0, 1.0, 1.0), "error", "slices are 15 mm apart"),
        ((1.5, 2.5, 1.0), "warning", "rows are 2.5 mm apart"),
        ((15.0, 10.0, 10.0), "error", "slices are 15 mm apart"),
        ((0.15, 0.1, 0.1), "error", "slices are 0.15 mm apart"),
        ((1.5, 1.0, 3.5), "error", "columns are 3.5 mm apart"),
    ],
)
def test_a_spacing_far_from_the_others_is_named(
    spacing_mm: tuple[float, ...], level: str, words: str
) -> None:
    (line,) = lines_of(site("north", spaced(*spacing_mm)))

    assert (line.name, line.level) == ("north:spacing", level)
    assert words in line.sentence
    assert "spacing_mm in cases.csv" in line.fix


def test_cases_that_differ_within_one_site_are_a_warning() -> None:
    mixed = PROFILE.model_copy(update={"unlike_spacings": 2})

    (line,) = lines_of(site("south", mixed))

    assert (line.name, line.level) == ("south:spacing", "warning")
    assert "in 2 voxels are more than 3 times as long or as short" in line.sentence


@pytest.mark.parametrize(
    ("factors", "patients", "level"),
    [((6.0, 6.0), 8, "error"), ((6.0, 1.0), 8, "warning"), ((6.0, 6.0), 2, "warning")],
)
def test_volumes_stop_a_study_where_all_are_off_in_enough_patients(
    factors: tuple[float, float], patients: int, level: str
) -> None:
    structures = {
        name: one.model_copy(update={"volume_ml": factor * one.volume_ml, "patients": patients})
        for (name, one), factor in zip(PROFILE.structures.items(), factors, strict=True)
    }

    found = lines_of(site("east", PROFILE.model_copy(update={"structures": structures})))

    assert [(line.name, line.level) for line in found] == [("east:volume", level)]


@pytest.mark.parametrize("ends", [(1024.0, 1124.0, 2024.0), (0.0, 0.1, 1.0)])
def test_another_scale_of_intensity_is_a_warning(ends: tuple[float, float, float]) -> None:
    (line,) = lines_of(site("east", PROFILE.model_copy(update={"percentiles": (ends,)})))

    assert (line.name, line.level) == ("east:intensity", "warning")


def test_another_storage_order_is_fine_and_is_said() -> None:
    told = {name: site(name) for name in SITES}
    told["north"] = site("north", PROFILE.model_copy(update={"orientations": {"RAS": 8}}))

    found = verdict(two_classes(), told)

    assert {line.level for line in found} == {"ok"}
    assert "stored as RAS" in next(line.sentence for line in found if line.site == "north")


@pytest.mark.parametrize(
    ("versions", "level"),
    [
        ({"crisp-fl": "0.2.0", "torch": "2.15.0"}, "error"),
        ({"crisp-fl": "0.1.0", "torch": "2.16.0"}, "warning"),
    ],
)
def test_another_version_of_ours_is_an_error_and_of_torch_a_warning(
    versions: dict[str, str], level: str
) -> None:
    (line,) = lines_of(site("south", software=versions))

    assert (line.name, line.level) == ("south:software", level)


@pytest.mark.parametrize(("ahead_s", "words"), [(100, "90 s ahead"), (-100, "90 s behind")])
def test_a_clock_outside_the_time_of_the_question_is_a_warning(ahead_s: int, words: str) -> None:
    machine = site("east").machine
    assert machine is not None
    wrong = machine.model_copy(update={"clock_s": NOW + ahead_s})  # asked and answered within 10 s

    (line,) = lines_of(site("east", machine=wrong))

    assert (line.name, line.level) == ("east:clock", "warning")
    assert words in line.sentence


def test_a_misspelt_metric_at_one_site_is_an_error_that_names_the_nearest() -> None:
    wrong = tuple("dcie" if name == "dice" else name for name in METRICS)

    (line,) = lines_of(site("north", metrics=wrong))

    assert (line.name, line.level) == ("north:metrics", "error")
    assert "'dcie'" in line.sentence
    assert "dice would not leave" in line.sentence
    assert "write 'dice' for 'dcie'" in line.fix


def test_a_metric_that_no_site_lets_out_is_missed_by_nobody() -> None:
    few = tuple(name for name in METRICS if name != "hd95_voxels")

    assert lines_of(*(site(name, metrics=few) for name in SITES)) == []


def test_an_optional_metric_that_one_site_keeps_is_a_warning() -> None:
    (line,) = lines_of(site("north", metrics=tuple(name for name in METRICS if name != "auc")))

    assert (line.name, line.level) == ("north:metrics", "warning")
    assert "auc will not leave" in line.sentence


def test_a_class_without_a_voxel_is_an_error_and_says_if_the_grid_lost_it() -> None:
    gone = {"class_voxels": {"cavity": 0, "muscle": 200}}
    without = PROFILE.model_copy(update={"structures": {"muscle": MUSCLE}})

    (unlabelled,) = lines_of(site("east", without, **gone))
    (lost,) = lines_of(site("east", **gone))

    assert unlabelled.name == lost.name == "east:classes"
    assert "label 1, 'cavity'" in unlabelled.sentence
    assert "on the study's grid" not in unlabelled.sentence
    assert "on the study's grid" in lost.sentence


def test_odd_cases_and_a_site_that_may_not_say_anything_are_warnings() -> None:
    odd = site("east", unreadable_cases=48, duplicate_cases=2)
    quiet = site("south", None)

    found = lines_of(odd, quiet)

    assert [(line.name, line.level) for line in found] == [
        ("east:cases", "warning"),
        ("south:cohort", "warning"),
    ]
    assert "48 cases cannot be read" in found[0].sentence


def test_an_error_stops_the_study_and_names_site_cases_and_fix() -> None:
    told = {name: site(name) for name in SITES} | {"north": site("north", spaced(15, 10, 10))}
    lines = verdict(two_classes(), told)

    with pytest.raises(StudyError) as caught:
        insist_on_fit(told, lines)

    sentence = str(caught.value)
    assert "north (4 cases): slices are 15 mm apart" in sentence
    assert "spacing_mm in cases.csv" in sentence
    assert "`crisp run --accept north:spacing" in sentence


def test_what_a_person_accepts_is_a_warning_and_nothing_else_is_accepted_with_it() -> None:
    told = {name: site(name) for name in SITES} | {"north": site("north", spaced(15, 10, 10))}

    one = verdict(two_classes(("north:spacing",)), told)
    other = verdict(two_classes(("east:spacing",)), told)

    insist_on_fit(told, one)
    assert any("(the study accepts this)" in sentence for sentence in sentences_of(one))
    with pytest.raises(StudyError):
        insist_on_fit(told, other)


def test_accepting_a_verdict_leaves_the_study_that_hospitals_approved() -> None:
    assert two_classes(("north:spacing",)).hash() == two_classes().hash()


@pytest.mark.parametrize(
    "changed",
    [
        {"structures": {}},
        {"spread_mm": None},
        {"spread_mm": (0.0, 0.0, 0.0)},
        {"percentiles": ()},
        {"percentiles": ((0.0, 0.0, 0.0),)},
        {"structures": {"cavity": CAVITY.model_copy(update={"intensity": ()}), "muscle": MUSCLE}},
    ],
)
def test_whatever_figures_a_site_sends_the_others_are_judged(changed: dict[str, Any]) -> None:
    odd = site("east", PROFILE.model_copy(update=changed), class_voxels={"muscle": 3})

    found = lines_of(odd)

    assert "east:classes" in {line.name for line in found}
    assert {line.site for line in found if line.level == "error"} == {"east"}


@pytest.mark.parametrize(
    "text", ['"volume_ml":0.0', '"volume_ml":-1.0', '"patients":0', '"background_share":1.5']
)
def test_figures_that_cannot_be_do_not_come_in(text: str) -> None:
    key = text.split(":", maxsplit=1)[0]
    sound = StructureProfile.model_dump_json(CAVITY)
    value = json.loads(sound)[key.strip('"')]

    with pytest.raises(ValidationError):
        StructureProfile.model_validate_json(sound.replace(f"{key}:{value}", text))


def test_a_policy_keeps_what_few_patients_stand_behind() -> None:
    rare = PROFILE.model_copy(
        update={
            "orientations": {"LPS": 6, "RAS": 2},
            "structures": {"cavity": CAVITY, "muscle": MUSCLE.model_copy(update={"patients": 4})},
        }
    )

    left = site("east", rare, patients=8).under(Policy(metrics=("dice",)))

    assert left.data is not None
    assert set(left.data.structures) == {"cavity"}
    assert left.data.orientations == {"LPS": 6, "other": 2}
    assert left.class_voxels == {"cavity": 100, "muscle": 1}
    assert left.metrics == ("dice",)
    assert site("east", rare, patients=4).under(Policy()).data is None
