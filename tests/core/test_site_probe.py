from __future__ import annotations

import numpy as np
import pytest

from crisp_core.numerics.site_probe import BINS, background_figures, site_probe


def cohort(apart: float, seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Three sites of six patients with two cases each; `apart` SDs between the sites' means."""
    rng = np.random.default_rng(seed)
    sites = [site for site in ("a", "b", "c") for _ in range(12)]
    patients = [f"p{number // 2}" for _ in range(3) for number in range(12)]
    shift = np.array([apart * "abc".index(site) for site in sites])
    return rng.normal(size=(36, 4)) + shift[:, None], sites, patients


def test_sites_that_lie_far_apart_are_recognised_every_time() -> None:
    found = site_probe(*cohort(apart=8.0))

    assert found is not None
    assert (found.accuracy, found.site_count, found.case_count) == (1.0, 3, 36)


def test_sites_that_do_not_differ_are_recognised_by_chance_only() -> None:
    accuracies = [site_probe(*cohort(apart=0.0, seed=seed)).accuracy for seed in range(20)]

    assert np.mean(accuracies) == pytest.approx(1 / 3, abs=0.06)


def test_a_patient_who_is_known_by_heart_does_not_help() -> None:
    """Every patient has figures of their own: only a probe that has seen the patient can know."""
    rng = np.random.default_rng(1)
    patients = [f"p{number // 2}" for number in range(48)]
    sites = ["a" if number // 2 % 2 else "b" for number in range(48)]
    own = {patient: rng.normal(size=30) for patient in set(patients)}

    found = site_probe(np.stack([own[patient] for patient in patients]), sites, patients)

    assert found is not None
    assert found.accuracy < 0.75  # 1.0 for a probe that keeps the patient's other case


def test_a_site_of_one_patient_cannot_be_probed() -> None:
    figures = np.random.default_rng(0).normal(size=(5, 2))

    found = site_probe(figures, ["a", "a", "b", "b", "c"], ["1", "2", "1", "2", "1"])

    assert found is not None
    assert found.site_count == 2
    assert found.chance == 0.5
    assert site_probe(figures[:3], ["a", "a", "b"], ["1", "2", "1"]) is None


def test_the_figures_look_at_what_is_not_labelled() -> None:
    images = np.full((1, 1, 4, 4), -1.0, np.float32)
    labels = np.zeros((1, 4, 4), np.uint8)
    images[0, 0, 1:3, 1:3] = 1.0
    labels[0, 1:3, 1:3] = 1

    figures = background_figures(images, labels)

    assert figures[0] == 1.0  # all twelve background pixels are in the darkest bin
    assert figures[1:BINS].sum() == 0
    assert figures[BINS:].tolist() == [0.0, 0.0]  # no step lies between two background pixels


def test_the_probe_does_not_depend_on_the_order_of_the_cases() -> None:
    figures, sites, patients = cohort(apart=1.0)
    order = np.random.default_rng(3).permutation(36)

    shuffled = site_probe(figures[order], [sites[i] for i in order], [patients[i] for i in order])

    assert shuffled == site_probe(figures, sites, patients)
