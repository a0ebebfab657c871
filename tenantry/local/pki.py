"""The local certificate authorities and what they sign.

One authority, `local`, signs every server certificate: it is the one that users and pods trust. Who may be a
client of the API server, of etcd and of the API aggregator is signed by three others, so that a certificate for
one of these opens none of the rest, and no server certificate opens any.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenantry.local.layout import Owner, make_folder, write_file
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import StateCorrupt

__all__ = ["Authority", "Leaf", "signing_key"]

_AUTHORITY_LIFE = dt.timedelta(days=3650)
_LEAF_LIFE = dt.timedelta(days=397)
_RENEW_BEFORE = dt.timedelta(days=30)
_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a certificate says. organizations are Kubernetes groups for a client of the API server."""

    common_name: str
    organizations: tuple[str, ...] = ()
    server: bool = False
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """Of a server, besides loopback."""

    def names(self) -> list[x509.GeneralName]:
        """What a server is called by its clients."""
        addresses = (LOOPBACK, *self.addresses)
        return [
            *(x509.DNSName(name) for name in ("localhost", *self.dns_names)),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        ]


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signing_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A key pair that signs tokens: (private, public) files, made at the first call and kept."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    if not (private.exists() and public.exists()):
        key = ec.generate_private_key(ec.SECP256R1())
        write_file(private, _private_bytes(key))
        write_file(
            public,
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        )
    return private, public


class Authority:
    """A certificate authority in a folder: `ca.pem` and `ca.key` (mode 0600), made at the first use and kept."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate_file = folder / name / "ca.pem"
        self.key_file = folder / name / "ca.key"
        self._name = name
        make_folder(folder / name, 0o700)
        if not (self.key_file.exists() and self.certificate_file.exists()):
            self._create()
        try:
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
            self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        except ValueError as error:
            raise StateCorrupt(
                "a file of the local certificate authority cannot be read",
                where=str(self.certificate_file.parent),
                hint="restore it from a backup, or make the platform anew: `tenantry local remove`, then `up`",
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StateCorrupt("not a key of the local certificate authority", where=str(self.key_file))
        self._key = key

    @property
    def pem(self) -> str:
        return self.certificate_file.read_text()

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Tenantry {self._name} authority")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        # The key first: a folder with both files is whole.
        write_file(self.key_file, _private_bytes(key))
        write_file(self.certificate_file, certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, folder: Path, name: str, leaf: Leaf, *, owner: Owner | None = None) -> tuple[Path, Path]:
        """`<name>.pem` and `<name>.key` (mode 0600) in the folder; kept while valid and as the leaf says,
        renewed in the last month."""
        certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        if not (key_file.exists() and self._fresh(certificate_file, leaf)):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._sign(key.public_key(), leaf)
            certificate_file.unlink(missing_ok=True)
            write_file(key_file, _private_bytes(key), owner=owner)
            write_file(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), owner=owner)
        return certificate_file, key_file

    def _sign(self, public_key: ec.EllipticCurvePublicKey, leaf: Leaf) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in leaf.organizations]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name))
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if leaf.server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if leaf.server:
            builder = builder.add_extension(x509.SubjectAlternativeName(leaf.names()), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _fresh(self, certificate_file: Path, leaf: Leaf) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        if leaf.server:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            if list(extension.value) != leaf.names():
                return False
        return certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) > _RENEW_BEFORE


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
