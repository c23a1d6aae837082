from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from site_samples import east
from synthetic import AFFINE, blob, write_site, write_volume
from typer.testing import CliRunner

from crisp_client.approval import approve
from crisp_client.cli import app
from crisp_client.connection import Finding, utc_now
from crisp_client.home import SiteHome
from crisp_client.preflight import preflight
from crisp_client.settings import explained
from crisp_core.files.atomic import write_text
from crisp_core.schema.manifest import SiteSettings
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.trust.certificates import make_authority
from crisp_core.trust.keys import load_signing_key, make_node_key, make_signing_key
from crisp_core.trust.signed_study import sign_study

DEAD = "127.0.0.1:1"
"""Nobody listens there."""


@pytest.fixture
def site(tmp_path: Path) -> SiteHome:
    """Write the home of a site of 20 patients that has joined and approved; it is all well."""
    settings, study = east(tmp_path)
    data = write_site(tmp_path / "twenty", 20, shape=(20, 20, 4))
    home = SiteHome(tmp_path / "home")
    (home.path / "keys").mkdir(parents=True)
    make_node_key(home.node_key)
    make_signing_key(home.signing_key)
    make_authority(home.authority, tmp_path / "authority.key", "test", days=30)
    coordinator = tmp_path / "coordinator.pem"
    home.coordinator_key.write_text(make_signing_key(coordinator))
    signed = sign_study(load_signing_key(coordinator), study)
    home.studies.mkdir()
    (home.studies / f"{study.hash()}.json").write_text(signed.model_dump_json())
    home.policy.write_text("min_cohort = 5\n")
    approve(home, signed, utc_now())
    rewrite(home, settings, data=(str(data),), coordinator=DEAD)
    return home


def rewrite(home: SiteHome, settings: SiteSettings, **keys: object) -> None:
    write_text(home.settings, explained(settings.model_copy(update=keys)))


def folder_of(home: SiteHome) -> Path:
    return home.path.parent / "twenty"


def lines(home: SiteHome) -> list[str]:
    return [finding.line() for finding in preflight(home)]


def matching(home: SiteHome, start: str) -> list[str]:
    return [line for line in lines(home) if line.startswith(start)]


def test_a_sound_site_has_nothing_wrong_but_a_coordinator_that_is_not_there(
    site: SiteHome,
) -> None:
    found = preflight(site)

    assert [finding.what for finding in found if finding.level != "ok"] == ["port"]
    order = [finding.what for finding in found]
    assert order[0] == "dns"  # the connection comes first, and its error hides nothing here
    assert {"software", "device", "keys", "policy", "data", "patients", "disk"} <= set(order)


def test_every_case_is_opened_and_told(site: SiteHome) -> None:
    seen: list[tuple[int, int]] = []

    preflight(site, on_case=lambda done, total: seen.append((done, total)))

    assert seen == [(number, 20) for number in range(1, 21)]
    (line,) = matching(site, "ok: data")
    assert "20 cases can be used; median voxel 8 x 1.5 x 1.5 mm; stored as LPS 20" in line
    assert "ring in 20, inner in 20" in line


def spoil_image(home: SiteHome) -> None:
    (folder_of(home) / "images" / "c3.nii.gz").write_bytes(b"")


def spoil_mask(home: SiteHome) -> None:
    path = folder_of(home) / "labels" / "c3.nii.gz"
    write_volume(path, np.full((20, 20, 4), 7, np.uint8), AFFINE)


def drop_mask(home: SiteHome) -> None:
    (folder_of(home) / "labels" / "c3.nii.gz").unlink()


def open_keys(home: SiteHome) -> None:
    home.node_key.chmod(0o644)


def lose_signing_key(home: SiteHome) -> None:
    home.signing_key.unlink()


def forge_study(home: SiteHome) -> None:
    (path,) = home.studies.iterdir()
    signed = SignedStudy.model_validate_json(path.read_text())
    path.write_text(
        signed.model_copy(update={"study": signed.study.replace("tiny", "evil")}).model_dump_json()
    )


def withdraw_approval(home: SiteHome) -> None:
    home.policy.write_text("")


def misspell_policy(home: SiteHome) -> None:
    home.policy.write_text("min_cohrt = 5\n")


def move_data(home: SiteHome) -> None:
    folder_of(home).rename(folder_of(home).with_name("elsewhere"))


ERRORS: dict[str, tuple[Callable[[SiteHome], None], str, str]] = {
    "unreadable image": (spoil_image, "error: case:", "c3.nii.gz"),
    "unknown label": (spoil_mask, "error: case:", "labels 0 to 2, got 7 (mask of case 'c3')"),
    "missing mask": (drop_mask, "error: folder:", "a mask in labels/, got none (case 'c3')"),
    "key that others can read": (open_keys, "error: keys:", "chmod 600"),
    "lost key": (lose_signing_key, "error: keys:", "signing.pem"),
    "altered study": (forge_study, "error: study:", "signed by the coordinator"),
    "unapproved study": (withdraw_approval, "error: policy:", "crisp-client approve"),
    "unreadable policy": (misspell_policy, "error: policy:", "min_cohort"),
    "moved data": (move_data, "error: folder:", "Name the folder that holds images/ and labels/"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_what_would_stop_a_study_is_an_error_with_its_place_and_cure(
    site: SiteHome, kind: str
) -> None:
    spoil, start, words = ERRORS[kind]
    spoil(site)

    found = matching(site, start)

    assert any(words in line for line in found), lines(site)


def test_figures_of_too_few_patients_are_announced_before_the_study(site: SiteHome) -> None:
    site.policy.write_text(site.policy.read_text().replace("min_cohort = 5", "min_cohort = 9"))

    (line,) = matching(site, "error: patients")

    assert "figures of 8 patients (validation) may not leave: min_cohort is 9" in line


def change_image(home: SiteHome) -> None:
    images = folder_of(home) / "images"
    (images / "c1.nii.gz").write_bytes((images / "c0.nii.gz").read_bytes())


def empty_mask(home: SiteHome) -> None:
    write_volume(folder_of(home) / "labels" / "c3.nii.gz", np.zeros((20, 20, 4), np.uint8), AFFINE)


def thick_slices(home: SiteHome) -> None:
    image, labels = blob((20, 20, 4), 2, seed=3)
    affine = AFFINE @ np.diag([1, 1, 4, 1])
    write_volume(folder_of(home) / "images" / "c3.nii.gz", image, affine)
    write_volume(folder_of(home) / "labels" / "c3.nii.gz", labels, affine)


def other_scale(home: SiteHome) -> None:
    image, _ = blob((20, 20, 4), 2, seed=3)
    write_volume(folder_of(home) / "images" / "c3.nii.gz", (image / 400).astype(np.float32))


WARNINGS: dict[str, tuple[Callable[[SiteHome], None], str, str]] = {
    "one image twice": (change_image, "warning: duplicate:", "'c0' and 'c1' hold the same image"),
    "empty mask": (empty_mask, "warning: mask:", "the mask of 'c3' is empty"),
    "thick slices": (thick_slices, "warning: spacing:", "'c3' has voxels of 32 x 1.5 x 1.5 mm"),
    "other scale": (other_scale, "warning: intensity:", "'c3' spans"),
}


@pytest.mark.parametrize("kind", WARNINGS)
def test_what_is_odd_about_a_case_is_a_warning_that_names_it(site: SiteHome, kind: str) -> None:
    spoil, start, words = WARNINGS[kind]
    spoil(site)

    (line,) = matching(site, start)

    assert words in line


def test_a_patient_in_two_data_folders_is_named(site: SiteHome, tmp_path: Path) -> None:
    other = write_site(tmp_path / "more", {"x0": "p0", "x1": "other"}, seed=7, shape=(20, 20, 4))
    settings, _ = east(tmp_path)
    rewrite(site, settings, data=(str(folder_of(site)), str(other)), coordinator=DEAD)

    (line,) = matching(site, "warning: duplicate")

    assert "patient 'p0'" in line


def test_unreadable_cases_within_the_sites_share_are_warnings(
    site: SiteHome, tmp_path: Path
) -> None:
    settings, _ = east(tmp_path)
    keys = {"data": (str(folder_of(site)),), "coordinator": DEAD, "unreadable_share": 0.05}
    rewrite(site, settings, **keys)
    spoil_image(site)

    within = matching(site, "warning: case")
    (folder_of(site) / "images" / "c4.nii.gz").write_bytes(b"")
    beyond = matching(site, "error: case")

    assert any("1 of 20 cases cannot be used; unreadable_share allows 5.0%" in w for w in within)
    assert any("2 of 20 cases cannot be used" in line for line in beyond)


def test_a_home_that_is_none_is_one_finding(tmp_path: Path) -> None:
    (finding,) = preflight(SiteHome(tmp_path))

    assert (finding.level, finding.what) == ("error", "settings")


def test_the_command_prints_one_line_a_finding_and_exits_3_on_an_error(site: SiteHome) -> None:
    result = CliRunner().invoke(app, ["check", "--home", str(site.path)])

    assert result.exit_code == 3
    printed = [line for line in result.stdout.splitlines() if line]
    assert printed[0].startswith("ok: dns:")
    assert any(line.startswith("error: port:") for line in printed)
    assert len(printed) == len(preflight(site))


def test_the_command_writes_json_for_scripts(site: SiteHome) -> None:
    result = CliRunner().invoke(app, ["check", "--home", str(site.path), "--json"])

    assert result.exit_code == 3
    found = [Finding(**finding) for finding in json.loads(result.stdout)]
    assert [one.what for one in found if one.level == "error"] == ["port"]


def test_a_folder_needs_the_number_of_its_classes(site: SiteHome) -> None:
    result = CliRunner().invoke(app, ["check", str(folder_of(site))])

    assert result.exit_code == 2
    assert "--classes" in result.output
