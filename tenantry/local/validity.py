"""Until when a local platform's certificates and tokens are good. `up` renews each of them in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import hvac.exceptions
import requests
from cryptography import x509

from tenantry.local.keys import OpenBao
from tenantry.local.part import Site
from tenantry.tenancy.validity import Validity, soonest

__all__ = ["validities"]

_BY = "tenantry local up"


def validities(site: Site) -> tuple[Validity, ...]:
    """The soonest first. Tokens are left out while OpenBao does not answer: its own state says so."""
    return soonest((*_certificates(site), *_tokens(OpenBao(site))))


def _certificates(site: Site) -> Iterator[Validity]:
    for folder, renewed_by in (
        (site.layout.parts, _BY),
        (site.layout.client, _BY),
        (site.layout.authorities, "nobody"),
    ):
        for path in sorted(folder.glob("**/*.pem")):
            # Copies of the authority's, which parts trust, are told with the authority.
            if path.name == "ca.pem" and folder != site.layout.authorities:
                continue
            try:
                certificate = x509.load_pem_x509_certificate(path.read_bytes())
            except (OSError, ValueError):
                continue
            what = f"certificate {path.relative_to(folder).with_suffix('')}"
            yield Validity(what=what, until=certificate.not_valid_after_utc, renewed_by=renewed_by)


def _tokens(openbao: OpenBao) -> Iterator[Validity]:
    named = (
        ("OpenBao token of the administrator", openbao.admin_token()),
        ("MariaDB's key token", openbao.reader_token()),
    )
    for what, token in named:
        if token is None:
            continue
        try:
            found = openbao.client(openbao.admin_token()).auth.token.lookup(token)["data"]
        except (hvac.exceptions.VaultError, requests.RequestException):
            continue
        yield Validity(what=what, until=datetime.now(UTC) + timedelta(seconds=int(found["ttl"])), renewed_by=_BY)
