"""The certificate of a deprovisioned tenant: signed by the cell's key, and verified by anybody with its public half.

The text is canonical JSON in UTF-8: keys sorted, no spaces, and only strings, whole numbers, booleans, null, lists and
objects, so that it equals RFC 8785. OpenBao's transit engine signs it with Ed25519; the private key never leaves it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, ValidationError

from tenantry.engine.storage import write_atomically
from tenantry.openbao import OpenBaoServer
from tenantry.tenancy.errors import InvalidInput, StateCorrupt

__all__ = ["Certificate", "Signature", "canonical", "check_certificate", "public_keys", "publish", "sign"]

SIGNING_KEY = "tenantry-certificates"
_FOLDER = "certificate-keys"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Signature(_Model):
    """key: the first 32 hex digits of the SHA-256 of the public key (32 bytes). value: base64."""

    algorithm: Literal["ed25519"] = "ed25519"
    key: str
    value: str


class Certificate(_Model):
    """payload: what is certified; docs/deprovisioning.md describes its fields."""

    kind: Literal["DeprovisionCertificate"] = "DeprovisionCertificate"
    version: Literal[1] = 1
    payload: dict[str, Any]
    signature: Signature

    @property
    def digest(self) -> str:
        """SHA-256 of the signed text."""
        return hashlib.sha256(canonical(self.payload)).hexdigest()

    @classmethod
    def parse(cls, text: str | bytes, *, source: str) -> Certificate:
        """Raises InvalidInput for what is no certificate."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise InvalidInput(
                "this is not a deprovision certificate",
                source=source,
                hint="`tenantry tenant certificate NAME --json` prints one",
            ) from None


def canonical(value: Any) -> bytes:
    """The one text of a document. Raises ValueError for a number with a fraction: it has several texts."""
    _refuse_fractions(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sign(
    payload: dict[str, Any], *, openbao: OpenBaoServer, transit_mount: str
) -> tuple[Certificate, Ed25519PublicKey]:
    """Sign with the cell's key, which is made at its first use. Raises DependencyUnavailable."""
    path = f"{transit_mount}/keys/{SIGNING_KEY}"
    key = openbao.read(path)
    if key is None:
        openbao.write(path, {"type": "ed25519"})
        key = openbao.read(path) or {}
    newest = key["keys"][str(key["latest_version"])]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(newest["public_key"]))
    text = canonical(payload)
    answer = openbao.write(f"{transit_mount}/sign/{SIGNING_KEY}", {"input": base64.b64encode(text).decode()})
    signature = Signature(key=_identity(public), value=str(answer["signature"]).rsplit(":", 1)[1])
    certificate = Certificate(payload=payload, signature=signature)
    check_certificate(certificate, (public,), source="the new certificate")
    return certificate, public


def check_certificate(certificate: Certificate, keys: tuple[Ed25519PublicKey, ...], *, source: str) -> None:
    """Offline: whether one of these keys signed exactly this payload. Raises StateCorrupt when not."""
    key = next((one for one in keys if _identity(one) == certificate.signature.key), None)
    if key is None:
        raise InvalidInput(
            f"no public key here is {certificate.signature.key}, which the certificate names",
            source=source,
            hint="give the cell's published key with --key FILE; the cell keeps it in its folder, certificate-keys",
        )
    try:
        key.verify(base64.b64decode(certificate.signature.value, validate=True), canonical(certificate.payload))
    except (InvalidSignature, ValueError):
        raise StateCorrupt(
            "the certificate's signature does not fit its text: it was altered, or is not from this cell",
            where=source,
            hint="ask who gave it to you for the original; do not rely on what it says",
        ) from None


def publish(folder: Path, key: Ed25519PublicKey) -> Path:
    """Keep a public key beside the tombstones, so that verifying needs no OpenBao. folder: the cell's."""
    path = folder / _FOLDER / f"{_identity(key)}.pem"
    write_atomically(path, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def public_keys(path: Path) -> tuple[Ed25519PublicKey, ...]:
    """The keys of a PEM file, or of a cell's folder. Raises InvalidInput."""
    files = sorted((path / _FOLDER).glob("*.pem")) if path.is_dir() else [path]
    keys = []
    for file in files:
        try:
            key = load_pem_public_key(file.read_bytes())
        except (OSError, ValueError):
            raise InvalidInput("this is no public key in PEM", source=str(file)) from None
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidInput("this is a public key of another kind than Ed25519", source=str(file))
        keys.append(key)
    return tuple(keys)


def _identity(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:32]


def _refuse_fractions(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError("a certificate holds no fractions")  # noqa: TRY004 (the value, not its type, is what counts)
    if isinstance(value, dict):
        for one in value.values():
            _refuse_fractions(one)
    elif isinstance(value, list | tuple):
        for one in value:
            _refuse_fractions(one)
