"""Private keys, made where they are used, readable by their owner alone.

A private key never leaves the machine that made it; only the public texts travel.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from crisp_core.errors import RunStateError, UntrustedError

LARGEST_KEY_BYTES = 16_384
KEY_ID_DIGITS = 16


def make_signing_key(path: Path) -> str:
    """Write a new Ed25519 private key (PEM, PKCS8) to `path` and return its public PEM.

    Raises:
        RunStateError: If there is a file at `path` already, or it cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return public_pem(key)


def make_node_key(path: Path) -> str:
    """Write a new EC P-384 private key (OpenSSH, as Flower wants it) and return its public line.

    Raises:
        RunStateError: If there is a file at `path` already, or it cannot be written.
    """
    key = generate_private_key(SECP384R1())
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def load_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read the key that `make_signing_key` wrote.

    Raises:
        UntrustedError: If it is absent, readable by others, or no Ed25519 key.
    """
    data = read_private(path)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UntrustedError(
            expected="an Ed25519 private key (PEM, without a password)",
            got="something else",
            where=str(path),
            fix="Restore the file from a backup",
        )
    return key


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public half, as the other side keeps it."""
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_id(public_text: str) -> str:
    """Return 16 hex digits that name a public key in logs."""
    return hashlib.sha256(public_text.strip().encode()).hexdigest()[:KEY_ID_DIGITS]


def write_private(path: Path, data: bytes) -> None:
    """Make a file that only its owner can read, in a folder (0700 if it is made) of its own.

    Raises:
        RunStateError: If there is a file already, or it cannot be written; nothing is left then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            _fill(file, path, data)
    except OSError as error:
        raise RunStateError(
            expected="a new private key file",
            got=error.strerror or "an error of the disk",
            where=str(path),
            fix="Keep a key that is there already; move it away only if it shall be replaced",
        ) from None


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read.

    Raises:
        UntrustedError: If it is absent, not a file, or open to group or others.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(LARGEST_KEY_BYTES)
    except OSError as error:
        raise UntrustedError(
            expected="a private key",
            got=error.strerror or "an error of the disk",
            where=str(path),
            fix="Make one with `crisp provision` or `crisp-client join`, or restore the file",
        ) from None
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise UntrustedError(
            expected="a private key that only its owner can read (0600)",
            got=f"mode {stat.S_IMODE(mode):04o}",
            where=str(path),
            fix=f"Others may have read it; if nobody has: chmod 600 {path}",
        )
    return data


def _fill(file: BinaryIO, path: Path, data: bytes) -> None:
    """Write `data` through to the disk; a key that is only half there is worse than none."""
    try:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise
