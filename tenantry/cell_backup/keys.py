"""The keys of a cell's backups: HPKE (X25519, AES-256-GCM) by Tink.

The cell has the public key alone: whoever takes the whole cell cannot open its backups. The private key belongs where
nothing of the cell is, and to nobody else: a cell's backup holds every tenant's keys.
"""

from __future__ import annotations

import base64
from pathlib import Path

import tink
from tink import hybrid, secret_key_access

from tenantry.engine.storage import storage_error, write_atomically
from tenantry.tenancy.errors import InvalidInput

__all__ = ["make_keys", "read_private", "read_public"]

hybrid.register()


def make_keys(private: Path, public: Path) -> None:
    """Write a new pair, both 0600. Raises InvalidInput for a file that is there: a key is never overwritten."""
    for path in (private, public):
        if path.exists():
            raise InvalidInput(
                "there is a file of this name, and a key is never overwritten",
                source=str(path),
                hint="name another one",
            )
    handle = tink.new_keyset_handle(hybrid.hybrid_key_templates.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM)
    # The private key first: a public one without it would seal what nobody opens.
    write_atomically(private, _text(tink.proto_keyset_format.serialize(handle, secret_key_access.TOKEN)))
    public_handle = handle.public_keyset_handle()
    write_atomically(public, _text(tink.proto_keyset_format.serialize_without_secret(public_handle)))


def read_public(path: Path) -> hybrid.HybridEncrypt:
    try:
        handle = tink.proto_keyset_format.parse_without_secret(_content(path))
        return handle.primitive(hybrid.HybridEncrypt)
    except tink.TinkError:
        raise InvalidInput(
            "this is not the public key of a cell's backups",
            source=str(path),
            hint="make a pair with `tenantry cell backup-keys`, and name its public file here, not the private one",
        ) from None


def read_private(path: Path) -> hybrid.HybridDecrypt:
    try:
        handle = tink.proto_keyset_format.parse(_content(path), secret_key_access.TOKEN)
        return handle.primitive(hybrid.HybridDecrypt)
    except tink.TinkError:
        raise InvalidInput(
            "this is not the private key of a cell's backups",
            source=str(path),
            hint="name the private file of the pair",
        ) from None


def _text(keyset: bytes) -> bytes:
    return base64.b64encode(keyset) + b"\n"


def _content(path: Path) -> bytes:
    try:
        return base64.b64decode(path.read_bytes(), validate=False)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise InvalidInput("there is no such file", source=str(path)) from None
        raise storage_error(error, path) from error
    except ValueError:
        return b""
