from __future__ import annotations

import resource
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from hypothesis import given
from hypothesis import strategies as st

from crisp_core.errors import RunStateError, UntrustedError
from crisp_core.trust.keys import (
    key_id,
    load_signing_key,
    make_node_key,
    make_signing_key,
    public_pem,
    write_private,
)
from crisp_core.trust.signature import is_signed, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_pem(KEY)
CONTEXTS = ("study", "record", "receipt", "standing")


def test_a_signing_key_is_read_back_as_it_was_made(tmp_path):
    path = tmp_path / "keys" / "signing.pem"

    public = make_signing_key(path)

    assert public_pem(load_signing_key(path)) == public
    assert public.startswith("-----BEGIN PUBLIC KEY-----")


def test_a_node_key_is_what_flower_reads(tmp_path):
    path = tmp_path / "keys" / "node"

    public = make_node_key(path)

    private = load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    assert isinstance(private.curve, SECP384R1)
    assert public.startswith("ecdsa-sha2-nistp384 ")
    assert load_ssh_public_key(public.encode()) == private.public_key()


@pytest.mark.parametrize("make", [make_signing_key, make_node_key])
def test_a_private_key_is_its_owners_alone(tmp_path, make):
    path = tmp_path / "keys" / "key"

    make(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("make", [make_signing_key, make_node_key])
def test_a_key_that_is_there_is_never_written_over(tmp_path, make):
    path = tmp_path / "key"
    make(path)
    before = path.read_bytes()

    with pytest.raises(RunStateError, match=r"File exists.*Keep a key that is there"):
        make(path)

    assert path.read_bytes() == before


def test_a_key_is_not_written_through_a_link_that_somebody_put_there(tmp_path):
    path = tmp_path / "key"
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RunStateError):
        make_signing_key(path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(RunStateError, match="a new private key file"):
            write_private(tmp_path / "key", b"0" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o660])
def test_a_key_that_others_may_touch_is_refused_with_the_line_that_mends_it(tmp_path, mode):
    path = tmp_path / "signing.pem"
    make_signing_key(path)
    path.chmod(mode)

    with pytest.raises(UntrustedError, match=f"got mode {mode:04o}.*chmod 600 {path}"):
        load_signing_key(path)


def test_a_key_that_is_not_there_is_told_with_the_commands_that_make_one(tmp_path):
    with pytest.raises(UntrustedError, match=r"No such file.*crisp-client join"):
        load_signing_key(tmp_path / "signing.pem")


def test_what_is_no_ed25519_key_is_refused(tmp_path):
    write_private(tmp_path / "garbage", b"-----BEGIN PRIVATE KEY-----")
    make_node_key(tmp_path / "node")

    for name in ("garbage", "node"):
        with pytest.raises(UntrustedError, match="an Ed25519 private key"):
            load_signing_key(tmp_path / name)


def test_a_key_of_another_kind_in_the_right_wrapping_is_refused(tmp_path):
    from crisp_core.trust.certificates import make_authority

    make_authority(tmp_path / "authority.crt", tmp_path / "authority.key", "tiny", 1)

    with pytest.raises(UntrustedError, match="an Ed25519 private key"):
        load_signing_key(tmp_path / "authority.key")


def test_a_key_is_named_by_16_digits_that_a_line_end_does_not_change():
    assert len(key_id(PUBLIC)) == 16
    assert key_id(PUBLIC) == key_id(PUBLIC + "\n")
    assert key_id(PUBLIC) != key_id(PUBLIC.replace("M", "N", 1))


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, st.sampled_from(CONTEXTS))
def test_what_was_signed_is_signed(text, context):
    assert is_signed(PUBLIC, context, text, sign(KEY, context, text))


@given(texts.filter(bool), st.sampled_from(CONTEXTS), st.data())
def test_one_changed_letter_of_the_text_refuses(text, context, data):
    place = data.draw(st.integers(0, len(text) - 1))
    other = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]

    assert not is_signed(PUBLIC, context, other, sign(KEY, context, text))


@given(st.integers(0, 127), st.integers(0, 6))
def test_one_flipped_bit_of_the_signature_refuses(place, bit):
    signature = sign(KEY, "record", "text")
    other = signature[:place] + chr(ord(signature[place]) ^ 1 << bit) + signature[place + 1 :]

    assert not is_signed(PUBLIC, "record", "text", other)


@pytest.mark.parametrize("other", CONTEXTS[1:])
def test_a_signature_is_worth_nothing_in_another_context(other):
    assert not is_signed(PUBLIC, other, "text", sign(KEY, "study", "text"))


def test_another_keys_signature_is_not_taken():
    assert not is_signed(PUBLIC, "study", "text", sign(Ed25519PrivateKey.generate(), "study", "t"))


@pytest.mark.parametrize("signature", ["", "00", "zz" * 64, "0" * 128, "é" * 128, " " * 128])
def test_what_is_no_signature_is_false_and_no_error(signature):
    assert not is_signed(PUBLIC, "study", "text", signature)


def test_a_signature_is_taken_in_one_writing_only():
    signature = sign(KEY, "study", "text")

    assert not is_signed(PUBLIC, "study", "text", signature.upper())
    assert not is_signed(PUBLIC, "study", "text", signature + "\n")


@pytest.mark.parametrize("key", ["", "garbage", PUBLIC[:60], "\ud800", PUBLIC.replace("A", "!")])
def test_what_is_no_key_is_false_and_no_error(key):
    assert not is_signed(key, "study", "text", sign(KEY, "study", "text"))


def test_a_key_of_another_kind_is_false_and_no_error():
    from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = generate_private_key(SECP384R1()).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert not is_signed(pem, "study", "text", sign(KEY, "study", "text"))


def test_a_text_that_is_no_text_is_false_and_no_error():
    assert not is_signed(PUBLIC, "study", "\ud800", sign(KEY, "study", "text"))
