from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_vectors import GRADED, vector

from crisp_core.numerics.squeeze import squeeze_loss, squeeze_term

NORMS = {
    "mean_square": "squeeze_mse",
    "mean_absolute": "squeeze_l1",
    "printed": "squeeze_literal",
}


def random_parts(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 2, 3, 4, 4, generator=generator, dtype=torch.float64)
    region = torch.rand(2, 1, 4, 4, generator=generator) < 0.5
    return logits[0].softmax(1), logits[1:].softmax(2), region


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", GRADED)
def test_squeeze_loss_equals_the_vectors(
    name: str, norm: str, dtype: torch.dtype, rtol: float
) -> None:
    values = vector(name)
    clean, perturbed = (torch.from_numpy(values[key]).to(dtype) for key in ("P", "Pn"))

    loss = squeeze_loss(clean, perturbed, torch.from_numpy(values["OmegaU"]).bool(), norm)

    np.testing.assert_allclose(loss.item(), values[NORMS[norm]], rtol=rtol)


def test_gradients_equal_finite_differences() -> None:
    values = vector("squeeze_grad")
    clean = torch.from_numpy(values["logits_clean"]).requires_grad_()
    perturbed = torch.from_numpy(values["logits"]).requires_grad_()
    region = torch.from_numpy(values["OmegaU"]).bool()

    loss = squeeze_loss(clean.softmax(1), perturbed.softmax(2), region)
    to_clean, to_perturbed = torch.autograd.grad(loss, (clean, perturbed))

    np.testing.assert_allclose(loss.item(), values["value"], rtol=1e-9)
    np.testing.assert_allclose(to_clean.numpy(), values["grad_clean"], atol=1e-8)
    np.testing.assert_allclose(to_perturbed.numpy(), values["grad_pert"], atol=1e-8)


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("mean_square", 2 * 0.25 / (1 * 2 * 3)),  # two channels differ by 0.5; N K |U| = 1 * 2 * 3
        ("mean_absolute", 2 * 0.5 / (1 * 2 * 3)),
        ("printed", 0.5 * 2**0.5),
    ],
)
def test_one_uncertain_pixel_that_flips_halfway(norm: str, expected: float) -> None:
    clean = torch.tensor([[[[1.0, 1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    perturbed = torch.tensor([[[[[0.5, 1.0, 1.0, 0.0]], [[0.5, 0.0, 0.0, 1.0]]]]])
    region = torch.tensor([[[[True, True, True, False]]]])

    torch.testing.assert_close(squeeze_loss(clean, perturbed, region, norm), torch.tensor(expected))


@given(st.integers(0, 999), st.sampled_from(list(NORMS)))
@settings(deadline=None)
def test_terms_sum_to_the_loss(seed: int, norm: str) -> None:
    clean, perturbed, region = random_parts(seed)

    terms = sum(squeeze_term(clean, one, region, norm, count=len(perturbed)) for one in perturbed)

    torch.testing.assert_close(terms, squeeze_loss(clean, perturbed, region, norm))


@given(st.integers(0, 999))
@settings(deadline=None)
def test_mean_square_agrees_with_the_book(seed: int) -> None:
    clean, perturbed, region = random_parts(seed)

    loss = squeeze_loss(clean, perturbed, region)

    u = region.numpy().astype(float)
    total = sum((((clean - one).numpy() * u) ** 2).sum() for one in perturbed)
    np.testing.assert_allclose(loss.item(), total / (4 * 3 * max(u.sum(), 1)))


@pytest.mark.parametrize("norm", NORMS)
def test_what_lies_outside_the_region_has_no_gradient(norm: str) -> None:
    clean, perturbed, region = random_parts(0)
    perturbed.requires_grad_()

    squeeze_loss(clean, perturbed, region, norm).backward()

    assert perturbed.grad is not None
    assert not (perturbed.grad * ~region).any()
    assert (perturbed.grad * region).any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("certain", [True, False])
def test_agreement_and_an_empty_region_cost_nothing_and_pull_nowhere(
    norm: str, certain: bool
) -> None:
    clean, perturbed, region = random_parts(0)
    region = torch.zeros_like(region) if certain else region
    copies = perturbed if certain else clean.expand_as(perturbed).clone()
    copies.requires_grad_()

    loss = squeeze_loss(clean, copies, region, norm)
    loss.backward()

    assert loss.item() == 0
    assert copies.grad is not None
    assert not copies.grad.any()  # nor NaN


def test_a_region_of_another_shape_is_refused() -> None:
    clean, perturbed, region = random_parts(0)

    with pytest.raises(ValueError, match=r"region \(2, 4, 4\)"):
        squeeze_loss(clean, perturbed, region[:, 0])


def test_an_unknown_norm_and_no_perturbation_are_refused() -> None:
    clean, perturbed, region = random_parts(0)

    with pytest.raises(ValueError, match="norm must be"):
        squeeze_loss(clean, perturbed, region, "l3")
    with pytest.raises(ValueError, match="at least one"):
        squeeze_loss(clean, perturbed[:0], region)
