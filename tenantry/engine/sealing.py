"""Sealing: secrets in state files, in the format of Pulumi's secrets providers.

A 32-byte data key encrypts each secret by AES-256-GCM (`v1:nonce:ciphertext`, base64). By `hashivault://KEY` it is
random and stands in the state wrapped by OpenBao's transit key KEY: one OpenBao call opens a stack. By `passphrase`,
for stacks that people run by plain `pulumi`, it follows from a passphrase (passphrase.py). The opened key stays in this
process's memory only.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenantry.engine.passphrase import PASSPHRASE, new_salt, passphrase_key
from tenantry.engine.properties import SECRET_SIGNATURE, SIGNATURE_KEY, Secret, plain
from tenantry.openbao import Absent, openbao
from tenantry.tenancy.errors import InvalidInput, StateCorrupt, Unsupported

__all__ = ["Sealer", "create_sealer", "delete_key", "open_sealer"]

_opened: dict[tuple[str, str], bytes] = {}
_opened_lock = threading.Lock()


class Sealer:
    """Encrypts and decrypts the secrets of one stack. state: what the checkpoint's `secrets_providers` holds."""

    def __init__(self, key: bytes, state: Mapping[str, Any]) -> None:
        self._cipher = AESGCM(key)
        self._plaintexts: dict[str, Any] = {}
        self.state = state

    @property
    def settings(self) -> dict[str, str]:
        """What the stack's settings file must say, so that the CLI finds the same key."""
        inner = self.state["state"]
        if self.state["type"] == PASSPHRASE:
            return {"encryptionsalt": str(inner["salt"])}
        return {"secretsprovider": str(inner["url"]), "encryptedkey": str(inner["encryptedkey"])}

    def encrypt(self, text: str) -> str:
        nonce = secrets.token_bytes(12)
        sealed = self._cipher.encrypt(nonce, text.encode(), None)
        return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, ciphertext: str) -> Any:
        """The JSON value in a ciphertext. Raises StateCorrupt when it was not made with this stack's key."""
        if ciphertext not in self._plaintexts:
            try:
                version, nonce, sealed = ciphertext.split(":")
                if version != "v1":
                    raise ValueError(version)
                text = self._cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
                self._plaintexts[ciphertext] = json.loads(text)
            except (ValueError, InvalidTag) as error:
                raise StateCorrupt(
                    "a secret in the state cannot be decrypted with the stack's key",
                    hint="restore the state file from its .bak or from history",
                ) from error
        return self._plaintexts[ciphertext]

    def open(self, raw: Any) -> Any:
        """State JSON as property values."""
        if isinstance(raw, dict):
            if raw.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
                if "ciphertext" in raw:
                    return Secret(self.decrypt(raw["ciphertext"]))
                return Secret(json.loads(raw["plaintext"]))
            return {key: self.open(item) for key, item in raw.items()}
        if isinstance(raw, list):
            return [self.open(item) for item in raw]
        return raw

    def seal(self, value: Any, prior: Any = None) -> Any:
        """Property values as state JSON. prior: the JSON that stood here; an unchanged secret keeps its ciphertext."""
        if isinstance(value, Secret):
            bare = plain(value)
            if isinstance(prior, dict) and "ciphertext" in prior and prior.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
                ciphertext = prior["ciphertext"]
                if self.decrypt(ciphertext) == bare:
                    return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": ciphertext}
            text = json.dumps(bare, separators=(",", ":"), sort_keys=True)
            return {SIGNATURE_KEY: SECRET_SIGNATURE, "ciphertext": self.encrypt(text)}
        if isinstance(value, dict):
            before = prior if isinstance(prior, dict) else {}
            return {key: self.seal(item, before.get(key)) for key, item in value.items()}
        if isinstance(value, list):
            earlier = prior if isinstance(prior, list) and len(prior) == len(value) else [None] * len(value)
            return [self.seal(item, old) for item, old in zip(value, earlier, strict=True)]
        return value


def open_sealer(state: Mapping[str, Any], *, where: str, afresh: bool = False) -> Sealer:
    """The sealer of an existing stack. state: `secrets_providers` of its checkpoint. where: the file, for errors.
    afresh: ask OpenBao also where this process has opened the key before.

    Raises InvalidInput for a wrong passphrase, StateCorrupt for a key that is gone, Unsupported for another provider.
    """
    if state.get("type") == PASSPHRASE:
        salt = str((state.get("state") or {}).get("salt") or "")
        return Sealer(passphrase_key(salt, where=where), {"type": PASSPHRASE, "state": {"salt": salt}})
    if state.get("type") != "cloud":
        raise Unsupported(
            f"the state's secrets are encrypted by the provider {state.get('type')!r}",
            where=where,
            hint="move the stack to OpenBao: pulumi stack change-secrets-provider hashivault://KEY",
        )
    try:
        url, wrapped = str(state["state"]["url"]), str(state["state"]["encryptedkey"])
    except (KeyError, TypeError) as error:
        raise StateCorrupt("the state does not name its key", where=where) from error
    with _opened_lock:
        key = None if afresh else _opened.get((url, wrapped))
    if key is None:
        mount, name = _location(url)
        ciphertext = base64.b64decode(wrapped).decode()
        try:
            answer = openbao().write(f"{mount}/decrypt/{name}", {"ciphertext": ciphertext})
        except (InvalidInput, Absent) as error:
            raise StateCorrupt(
                f"OpenBao's transit key {mount}/{name} is gone or is not the one that wrapped this stack's data key",
                where=where,
                hint="restore OpenBao to the point of the state, or the state to the point of OpenBao",
            ) from error
        key = base64.b64decode(answer["plaintext"])
        with _opened_lock:
            _opened[url, wrapped] = key
    return _of_openbao(key, url, wrapped)


def create_sealer(url: str) -> Sealer:
    """A sealer for a new stack: makes the transit key when it is absent, and a new data key.

    In a new OpenBao the transit mount is missing too. It is made here, since the stack that declares the cell's
    mounts needs its own state sealed before it can run; a token that may not make it is refused by OpenBao.
    """
    if url == PASSPHRASE:
        salt, key = new_salt()
        return Sealer(key, {"type": PASSPHRASE, "state": {"salt": salt}})
    mount, name = _location(url)
    if f"{mount}/" not in (openbao().read("sys/internal/ui/mounts") or {})["secret"]:
        openbao().write(f"sys/mounts/{mount}", {"type": "transit"})
    # OpenBao leaves an existing key as it is, and a new key cannot be deleted until somebody allows it.
    openbao().write(f"{mount}/keys/{name}", {"type": "aes256-gcm96"})
    key = secrets.token_bytes(32)
    answer = openbao().write(f"{mount}/encrypt/{name}", {"plaintext": base64.b64encode(key).decode()})
    wrapped = base64.b64encode(answer["ciphertext"].encode()).decode()
    with _opened_lock:
        _opened[url, wrapped] = key
    return _of_openbao(key, url, wrapped)


def delete_key(url: str) -> None:
    """Delete a stack's transit key: nothing that it sealed can be read again. An absent key is no error; a passphrase
    is nowhere to be deleted."""
    if url == PASSPHRASE:
        return
    mount, name = _location(url)
    path = f"{mount}/keys/{name}"
    if openbao().read(path) is not None:
        openbao().write(f"{path}/config", {"deletion_allowed": True})
        openbao().delete(path)


def _of_openbao(key: bytes, url: str, wrapped: str) -> Sealer:
    return Sealer(key, {"type": "cloud", "state": {"url": url, "encryptedkey": wrapped}})


def _location(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme != "hashivault" or not parts.netloc:
        raise Unsupported(
            f"the secrets provider {url} is not OpenBao's", where=url, hint="use hashivault://KEY (a transit key)"
        )
    mount = parse_qs(parts.query).get("engine", ["transit"])[0].strip("/")
    return mount, parts.netloc + parts.path.rstrip("/")
