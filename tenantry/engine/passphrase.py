"""The key of a stack whose secrets are under a passphrase, in the format of Pulumi's `passphrase` secrets provider.

The key follows from the passphrase and a salt by PBKDF2, about a third of a second of CPU. The salt's text carries a
known word under that key, which tells a wrong passphrase.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import threading
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenantry.tenancy.errors import InvalidInput, StateCorrupt

__all__ = ["PASSPHRASE", "new_salt", "passphrase_key"]

PASSPHRASE = "passphrase"  # noqa: S105 (the provider's name)
_ROUNDS = 1_000_000
_WORD = b"pulumi"
_VARIABLES = "PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE"
_keys: dict[tuple[str, bytes], bytes] = {}
_keys_lock = threading.Lock()


def passphrase_key(salt: str, *, where: str) -> bytes:
    """The key of a stack with this salt. Raises InvalidInput when no passphrase is given or it is the wrong one."""
    passphrase = _passphrase(where)
    try:
        version, bare, tag, nonce, sealed = salt.split(":")
        if (version, tag) != ("v1", "v1"):
            raise ValueError(version)
        key = _derived(base64.b64decode(bare), passphrase)
        AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
    except InvalidTag as error:
        raise InvalidInput(
            "the passphrase is not the one that this stack's secrets are under",
            source=where,
            hint=f"set the right one in {_VARIABLES}; nothing was changed",
        ) from error
    except ValueError as error:
        raise StateCorrupt(
            "the salt of the stack's passphrase is no longer whole",
            where=where,
            hint="restore the state, or the stack's settings, from before it was edited",
        ) from error
    return key


def new_salt() -> tuple[str, bytes]:
    """Salt and key for a new stack."""
    bare, nonce = secrets.token_bytes(8), secrets.token_bytes(12)
    key = _derived(bare, _passphrase(PASSPHRASE))
    parts = (bare, nonce, AESGCM(key).encrypt(nonce, _WORD, None))
    salt, once, sealed = (base64.b64encode(part).decode() for part in parts)
    return f"v1:{salt}:v1:{once}:{sealed}", key


def _derived(salt: bytes, passphrase: str) -> bytes:
    """Kept for the process under a digest, so that each stack costs the rounds once."""
    name = (base64.b64encode(salt).decode(), hashlib.sha256(passphrase.encode()).digest())
    with _keys_lock:
        if name not in _keys:
            _keys[name] = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, _ROUNDS, dklen=32)
        return _keys[name]


def _passphrase(where: str) -> str:
    given = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if given is None and file:
        try:
            given = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise InvalidInput(
                "the file with the stack's passphrase cannot be read",
                source=file,
                hint="name a file that you may read in PULUMI_CONFIG_PASSPHRASE_FILE",
            ) from error
    if given is None:
        raise InvalidInput(
            "this stack's secrets are under a passphrase, and none is given", source=where, hint=f"set {_VARIABLES}"
        )
    return given
