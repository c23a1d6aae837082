from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from federation_samples import study
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crisp_core.errors import UntrustedError
from crisp_core.schema.signed_study import SignedStudy
from crisp_core.trust.keys import public_pem
from crisp_core.trust.signature import sign
from crisp_core.trust.signed_study import opened_study, sign_study

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = public_pem(KEY)
SIGNED = sign_study(KEY, study())


def signed_anyhow(text):
    """A text under which the coordinator's own key has put its signature."""
    return SignedStudy(study=text, signature=sign(KEY, "study", text))


def test_a_signed_study_opens_as_the_study_it_was():
    again = SignedStudy.model_validate_json(SIGNED.model_dump_json())

    assert opened_study(again, PUBLIC) == study()
    assert opened_study(again, PUBLIC).hash() == study().hash()


def test_folders_of_the_coordinator_are_not_signed_and_do_not_travel():
    at_home = study().model_copy(
        update={
            "sites": {n: s.model_copy(update={"data": ("/d",)}) for n, s in study().sites.items()}
        }
    )

    assert sign_study(KEY, at_home) == SIGNED


@given(st.integers(0, len(SIGNED.study) - 1))
def test_one_flipped_bit_of_the_study_refuses(place):
    text = SIGNED.study[:place] + chr(ord(SIGNED.study[place]) ^ 1) + SIGNED.study[place + 1 :]

    with pytest.raises(UntrustedError, match="unsigned or altered"):
        opened_study(SignedStudy(study=text, signature=SIGNED.signature), PUBLIC)


def test_an_unsigned_study_is_refused():
    with pytest.raises(UntrustedError, match="got none"):
        opened_study(SignedStudy(study=SIGNED.study, signature=""), PUBLIC)


def test_a_study_signed_by_another_coordinator_is_refused():
    other = sign_study(Ed25519PrivateKey.generate(), study())

    with pytest.raises(UntrustedError, match="signed by the coordinator that this site joined"):
        opened_study(other, PUBLIC)


def test_a_signature_under_something_else_does_not_make_a_study():
    record = SignedStudy(study=SIGNED.study, signature=sign(KEY, "record", SIGNED.study))

    with pytest.raises(UntrustedError, match="unsigned or altered"):
        opened_study(record, PUBLIC)


def with_hidden_key(text):
    return json.dumps({**json.loads(text), "code": "x"}, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    "change",
    [
        with_hidden_key,
        lambda text: text.replace('"seed":0', '"seed":1,"seed":0'),
        lambda text: text.replace('"seed":0', '"seed":"0"'),
        lambda text: text.replace('"seed":0,', ""),
        lambda text: text + "\n",
        lambda text: text.replace('{"role":"source"}', '{"data":["/etc"],"role":"source"}', 1),
        lambda text: text[:-1],
        lambda text: "[" * 100_000,
        lambda text: "",
    ],
)
def test_a_signed_text_that_says_more_or_less_than_is_read_is_refused(change):
    text = change(SIGNED.study)
    assert text != SIGNED.study

    with pytest.raises(UntrustedError, match="that this version reads whole"):
        opened_study(signed_anyhow(text), PUBLIC)


@pytest.mark.parametrize(
    "answer",
    [{"study": "x" * 1_000_001, "signature": ""}, {"study": "x", "signature": "0" * 129}],
)
def test_a_signed_study_of_no_measure_is_not_read(answer):
    with pytest.raises(ValidationError):
        SignedStudy.model_validate_json(json.dumps(answer))
