"""The security page names everything that can leave, every port and every key."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from crisp_client.home import SiteHome
from crisp_client.outbox import FIGURES
from crisp_core.schema import joining, wire
from crisp_core.schema.messages import SiteFault
from crisp_core.schema.policy import Policy
from crisp_core.schema.record import RoundRecord
from crisp_server.home import CoordinatorHome

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "what-leaves-a-hospital.md"
ANSWERS = (*FIGURES.values(), SiteFault, RoundRecord)
REQUESTS = (joining.JoinRequest, joining.StandingRequest)


def models_in(annotation: object) -> set[type[BaseModel]]:
    """Find the models that a field may hold, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in get_args(annotation) for model in models_in(part)}


def field_names(model: type[BaseModel]) -> set[str]:
    """Name every field of a model and of the models in it."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            names |= field_names(inner)
    return names


@pytest.mark.parametrize("model", [*ANSWERS, *REQUESTS], ids=lambda model: model.__name__)
def test_every_field_that_can_leave_is_named_on_the_page(model: type[BaseModel]) -> None:
    page = PAGE.read_text()

    missing = {name for name in field_names(model) - {"want"} if f"`{name}`" not in page}

    assert not missing


def test_fields_are_found_however_deep() -> None:
    assert {"volume_ml", "cpu_count"} <= field_names(FIGURES["describe"])
    assert {"dice", "chosen"} <= field_names(FIGURES["evaluate"])


def test_every_part_of_an_answer_is_named_on_the_page() -> None:
    page = PAGE.read_text()

    parts = (wire.ARRAYS, wire.SITE_KEY, wire.FIGURES_KEY, wire.FAULT_KEY)
    for key in (*parts, wire.RECORD_KEY, wire.RECORD_SIGNATURE_KEY):
        assert f"`{key}`" in page, key


def test_every_rule_of_a_policy_is_named_on_the_page() -> None:
    assert not {name for name in Policy.model_fields if f"`{name}`" not in PAGE.read_text()}


def test_every_private_key_is_named_with_its_place() -> None:
    page = PAGE.read_text()
    site, coordinator = SiteHome(Path()), CoordinatorHome(Path())

    private = (
        site.node_key,
        site.signing_key,
        coordinator.authority_key,
        coordinator.certificate_key,
        coordinator.signing_key,
    )
    for path in (*private, site.authority, site.coordinator_key, site.resident):
        assert f"`{path}`" in page, path
