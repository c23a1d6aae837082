from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_vectors import DTYPES, GRADED, rule, vector

from crisp_core.numerics.grades import grade_map
from crisp_core.numerics.hints import (
    GradeTally,
    binary_hint,
    core_and_support,
    null_hint,
    rank_hint,
    rank_map,
    uncertainty_region,
)

seeds = st.integers(0, 9999)
levels = st.integers(2, 9)
ranges = st.sampled_from(["joint_fg", "class_fg", "joint_all"])
instances = st.sampled_from(["slice", "volume"])


def random_logits(seed: int, shape: tuple[int, ...] = (4, 3, 3, 5, 4)) -> torch.Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", GRADED)
def test_core_support_and_region_equal_the_vectors_bit_for_bit(
    name: str, dtype: torch.dtype
) -> None:
    values = vector(name)

    core, support = core_and_support(torch.from_numpy(values["logits"]).to(dtype), **rule(values))

    assert np.array_equal(core.numpy(), values["HP"])
    assert np.array_equal(support.numpy(), values["HR"])
    assert np.array_equal((support & ~core).numpy(), values["Omega"])
    assert np.array_equal(uncertainty_region(core, support).numpy(), values["OmegaU"])


def test_a_flat_prediction_knows_nothing() -> None:
    core, support = core_and_support(torch.zeros(2, 1, 2, 3, 3))

    assert not core.any()
    assert support.all()
    assert not rank_map(torch.zeros(2, 1, 2, 3, 3)).any()


def test_core_needs_every_perturbation_and_support_any() -> None:
    logits = torch.zeros(2, 1, 2, 1, 4)
    logits[0, 0, 1, 0] = torch.tensor([0.0, 0.0, 5.0, 5.0])
    logits[1, 0, 1, 0] = torch.tensor([0.0, 1.0, 1.0, 5.0])

    core, support = core_and_support(logits)

    assert core.flatten().tolist() == [False, False, False, True]
    assert support.flatten().tolist() == [False, True, True, True]


def test_ranks_are_mean_grades_over_the_top_grade() -> None:
    logits = torch.zeros(2, 1, 2, 1, 4)
    logits[0, 0, 1, 0] = torch.tensor([0.0, 0.0, 5.0, 5.0])  # grades 0 0 4 4
    logits[1, 0, 1, 0] = torch.tensor([0.0, 1.0, 1.0, 5.0])  # grades 0 1 1 4

    assert rank_map(logits).flatten().tolist() == [0, 1 / 8, 5 / 8, 1]


@given(seeds, levels, ranges, instances)
@settings(deadline=None)
def test_rank_map_is_the_mean_of_the_grade_maps(
    seed: int, level_count: int, range_over: str, instance: str
) -> None:
    logits = random_logits(seed)

    ranks = rank_map(logits, level_count, range_over, instance)

    grades = grade_map(logits, level_count, range_over, instance).numpy()
    np.testing.assert_allclose(ranks.numpy(), grades.mean(0) / (level_count - 1), rtol=1e-6)


@given(seeds, levels, ranges, instances)
@settings(deadline=None)
def test_core_lies_inside_support(
    seed: int, level_count: int, range_over: str, instance: str
) -> None:
    core, support = core_and_support(random_logits(seed), level_count, range_over, instance)

    assert not (core & ~support).any()


@given(seeds, levels, instances)
@settings(deadline=None)
def test_one_more_perturbation_only_shrinks_core_and_grows_support(
    seed: int, level_count: int, instance: str
) -> None:
    logits = random_logits(seed)

    core, support = core_and_support(logits[:-1], level_count, "class_fg", instance)
    more_core, more_support = core_and_support(logits, level_count, "class_fg", instance)

    assert not (more_core & ~core).any()
    assert not (support & ~more_support).any()


def test_without_noise_the_number_of_perturbations_does_not_matter() -> None:
    one = random_logits(0, (1, 2, 3, 6, 6))
    ten = one.expand(10, -1, -1, -1, -1)

    for few, many in zip(core_and_support(one), core_and_support(ten), strict=True):
        assert torch.equal(few, many)
    assert torch.equal(rank_map(one), rank_map(ten))


@given(seeds, ranges, instances, st.permutations(range(4)))
@settings(deadline=None)
def test_a_tally_does_not_see_how_or_in_which_order_it_was_filled(
    seed: int, range_over: str, instance: str, order: list[int]
) -> None:
    logits = random_logits(seed)
    at_once, one_by_one = (GradeTally(5, range_over, instance) for _ in range(2))

    at_once.add(logits)
    for n in order:
        one_by_one.add(logits[n : n + 1])

    assert at_once.count == one_by_one.count == 4
    assert torch.equal(at_once.core, one_by_one.core)
    assert torch.equal(at_once.support, one_by_one.support)
    assert torch.equal(at_once.grade_sums, one_by_one.grade_sums)
    assert torch.equal(at_once.ranks, one_by_one.ranks)


@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_slice_hints_depend_on_neither_batch_size_nor_order(batch_size: int) -> None:
    logits = random_logits(1, (3, 7, 3, 5, 5))
    core, support = core_and_support(logits)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))

    parts = [core_and_support(logits[:, chunk]) for chunk in order.split(batch_size)]

    assert torch.equal(torch.cat([part[0] for part in parts]), core[order])
    assert torch.equal(torch.cat([part[1] for part in parts]), support[order])


def test_an_empty_tally_has_no_answer() -> None:
    with pytest.raises(ValueError, match="no perturbation"):
        _ = GradeTally().core


def test_uncertainty_region_of_a_ring_is_the_ring() -> None:
    support = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    support[..., 1:4, 1:4] = True
    core = torch.zeros_like(support)
    core[..., 2, 2] = True

    assert uncertainty_region(core, support).sum() == 8  # a 3x3 square without its middle


def test_core_and_support_of_different_shapes_have_no_region() -> None:
    with pytest.raises(ValueError, match=r"core is \(1, 1, 4, 4\) but support is \(1, 1, 4, 5\)"):
        uncertainty_region(
            torch.zeros(1, 1, 4, 4, dtype=torch.bool), torch.zeros(1, 1, 4, 5, dtype=torch.bool)
        )


def test_the_null_hint_is_the_binary_hint_of_no_core_and_all_support() -> None:
    core = torch.zeros(2, 3, 4, 5, dtype=torch.bool)

    assert torch.equal(null_hint(2, 3, (4, 5)), binary_hint(core, ~core))


def test_rank_hint_shows_the_mean_of_the_neighbouring_slices() -> None:
    ranks = torch.tensor([0.2, 0.4, 1.0]).reshape(3, 1, 1, 1)

    hint = rank_hint(ranks, ranks > 0.9, neighbours=1)

    own, around = hint.flatten(1).unbind(1)
    torch.testing.assert_close(own, torch.tensor([0.2, 0.4, 1.0]))
    torch.testing.assert_close(around, torch.tensor([0.4 / 2, (0.2 + 1.0) / 2, 0.4 / 2]))


def test_rank_hint_without_neighbours_shows_core() -> None:
    ranks = torch.tensor([0.2, 1.0]).reshape(2, 1, 1, 1)

    hint = rank_hint(ranks, ranks == 1, neighbours=0)

    assert hint[:, 1].flatten().tolist() == [0, 1]


def test_rank_hint_of_a_single_slice_has_nothing_around() -> None:
    ranks = torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))

    hint = rank_hint(ranks, ranks > 1, neighbours=1)

    assert hint.shape == (1, 4, 3, 3)
    assert not hint[:, 2:].any()


def test_two_neighbours_on_each_side_are_refused() -> None:
    with pytest.raises(ValueError, match="neighbours must be 0 or 1"):
        rank_hint(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.bool), 2)
