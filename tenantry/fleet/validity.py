"""Until when the tokens and certificates are good that every cell lives on, wherever it is."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from cryptography import x509

from tenantry.engine import checkpoint
from tenantry.engine.cluster import connect
from tenantry.engine.storage import StackFiles
from tenantry.fleet.fleet import Fleet
from tenantry.fleet.programs import cell_stack
from tenantry.fleet.provisioner import ProvisionerToken
from tenantry.openbao import OpenBaoServer
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.validity import Validity, soonest

__all__ = ["cell_validities"]

_REVIEWER = "pulumi-python:dynamic/tenantry:KubernetesAuth"
_REVIEWER_DAYS = 365
_CONNECT_S = 5.0


def cell_validities(fleet: Fleet) -> tuple[Validity, ...]:
    """The soonest first. What does not answer is left out: other checks say so."""
    return soonest((*_tokens(fleet), *_reviewer(fleet), *_served(fleet), *_own(fleet)))


def _tokens(fleet: Fleet) -> Iterator[Validity]:
    for kept in (fleet.provisioner, fleet.deprovisioner):
        until = _until(kept)
        if until is not None:
            yield Validity(what=f"OpenBao token {kept.role}", until=until, renewed_by="the operator, and each use")


def _until(kept: ProvisionerToken) -> datetime | None:
    try:
        token = kept.token()
        if token is None:
            return None
        server = OpenBaoServer(address=kept.address, token=token, ca_file=os.environ.get("VAULT_CACERT"))
        try:
            found = server.read("auth/token/lookup-self") or {}
        finally:
            server.close()
    except TenantryError:
        return None
    return datetime.now(UTC) + timedelta(seconds=int(found.get("ttl") or 0))


def _reviewer(fleet: Fleet) -> Iterator[Validity]:
    """OpenBao outside the cluster asks it who somebody is, with a token of a year that `cell up` renews each month."""
    try:
        last = checkpoint.read(StackFiles(cell_stack(fleet.cell, fleet.backend)))
    except TenantryError:
        return
    for one in last.resources.values() if last is not None else ():
        if one.type == _REVIEWER and (one.raw.get("inputs") or {}).get("reviewer"):
            made = datetime.fromisoformat(str(one.raw["modified"]))
            until = made + timedelta(days=_REVIEWER_DAYS)
            yield Validity(what="OpenBao's token for the cluster", until=until, renewed_by="tenantry cell up, monthly")


def _served(fleet: Fleet) -> Iterator[Validity]:
    """Certificates as the servers show them. MariaDB shows its own within its protocol only: a local platform's is told
    by its file."""
    spec = fleet.cell.spec
    for what, url in (
        ("OpenBao", spec.openbao.address),
        ("RabbitMQ", spec.messaging.management_url),
        ("Redis", f"rediss://{spec.cache.host}:{spec.cache.port}"),
        ("the Kubernetes API", connect({}).address),
    ):
        place = urlsplit(url)
        if place.hostname is None or place.scheme not in {"https", "rediss"}:
            continue
        certificate = _shown(place.hostname, place.port or 443)
        if certificate is not None:
            yield Validity(
                what=f"certificate shown by {what}",
                until=certificate.not_valid_after_utc,
                renewed_by="whoever runs it (locally: tenantry local up)",
            )


def _shown(host: str, port: int) -> x509.Certificate | None:
    context = ssl.create_default_context()
    # Only its date is read, nothing is sent: one that has run out must be told too.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError:
        return None
    return x509.load_der_x509_certificate(shown) if shown else None


def _own(fleet: Fleet) -> Iterator[Validity]:
    bundle = fleet.cell.spec.ca_bundle
    for number, one in enumerate(x509.load_pem_x509_certificates(bundle.encode()) if bundle else (), start=1):
        yield Validity(
            what=f"the cell's certificate authority {number}", until=one.not_valid_after_utc, renewed_by="nobody"
        )
    path = connect({}).configuration.cert_file
    if path:
        with open(path, "rb") as file:  # noqa: PTH123 (a path of the Kubernetes client's, perhaps temporary)
            client = x509.load_pem_x509_certificate(file.read())
        yield Validity(
            what="our certificate for the Kubernetes API",
            until=client.not_valid_after_utc,
            renewed_by="whoever made the kubeconfig (locally: tenantry local up)",
        )
