"""Signatures of checkpoints: Ed25519 by the package ``cryptography``, which only those need who sign or check.

Rule: a private key is written once, readable by its owner alone, and never overwritten.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remint.errors import CheckpointForged, KeyRefused, SigningMissing
from remint.model.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE: Final = "remint-audit.private.pem"
PUBLIC: Final = "remint-audit.public.pem"


def make_keys(folder: Path) -> tuple[Path, Path]:
    """Make a pair of keys in ``folder`` and return the files of the private and of the public one.

    Raises:
        KeyRefused: one of the files is there already, or cannot be written.
        SigningMissing: the package that makes keys is not installed.
    """
    with _package():
        from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    files = folder / PRIVATE, folder / PUBLIC
    for file in files:
        if file.exists():
            raise KeyRefused(f"{file} is there already", hint="choose another folder; checkpoints need their old keys")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(files[0], private, 0o600)
        _write(files[1], public, 0o644)
    except OSError as error:
        raise KeyRefused(f"no keys can be written to {folder}: {error.strerror}") from error
    return files


def signed(checkpoint: Checkpoint, key: Path) -> Checkpoint:
    """Return the checkpoint with a signature by the private key in a file.

    Raises:
        KeyRefused: the file holds no Ed25519 private key without a password.
        SigningMissing: the package that signs is not installed.
    """
    private = _private(key)
    named = replace(checkpoint, public_key=private.public_key().public_bytes_raw().hex())
    return replace(named, signature=private.sign(named.signed_bytes).hex())


def check_signature(checkpoint: Checkpoint, where: str, expected: Path | None) -> None:
    """Refuse a checkpoint whose signature does not fit it.

    Args:
        checkpoint: without a signature, it is refused only where a key is expected.
        where: names it in messages.
        expected: file of the public key that it must be signed by; None: by any.

    Raises:
        CheckpointForged: it is not signed as it must be.
        KeyRefused: the file holds no Ed25519 public key.
        SigningMissing: the package that checks signatures is not installed.
    """
    wanted = public_key(expected) if expected else None
    if checkpoint.signature is None or checkpoint.public_key is None:
        if wanted:
            raise CheckpointForged(f"{where} is not signed, so {expected} vouches for nothing")
        return
    if wanted and checkpoint.public_key != wanted:
        raise CheckpointForged(f"{where} is signed by the key {checkpoint.public_key}, not by {wanted} of {expected}")
    with _package():
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(checkpoint.public_key))
        public.verify(bytes.fromhex(checkpoint.signature), checkpoint.signed_bytes)
    except (InvalidSignature, ValueError) as error:
        raise CheckpointForged(f"{where}: its signature does not fit; it is not what was signed") from error


def public_key(file: Path) -> str:
    """Return the public key in a PEM file, 32 bytes in hex.

    Raises:
        KeyRefused: the file holds no Ed25519 public key.
    """
    with _package():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    with _key_file(file, "public"):
        key = load_pem_public_key(file.read_bytes())
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError("it is a key of another kind")
        return key.public_bytes_raw().hex()


def _private(file: Path) -> Ed25519PrivateKey:
    with _package():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    with _key_file(file, "private"):
        key = load_pem_private_key(file.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("it is a key of another kind")
        return key


@contextmanager
def _key_file(file: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyRefused(f"{file} cannot be read: {error.strerror}", hint="remint audit new-key FOLDER") from error
    except (ValueError, TypeError) as error:
        raise KeyRefused(
            f"{file} holds no Ed25519 {kind} key as PEM without a password: {error}",
            hint="remint audit new-key FOLDER    # makes a pair",
        ) from error


@contextmanager
def _package() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SigningMissing(
            f"signatures need the package {error.name}, which is not installed", hint="pip install 'remint[sign]'"
        ) from error


def _write(file: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
