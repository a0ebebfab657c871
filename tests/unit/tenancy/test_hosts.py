"""Integrations lead outside and nowhere else; a tenant publishes only what is its own."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.hosts import integration_refusal, public_host_refusal

DOMAIN = "tenants.example.com"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "metadata.google.internal",
        "kubernetes.default.svc",
        "mariadb.databases.svc.cluster.local",
        "localhost",
        "api.localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0xa9fea9fe",
        "[::1]",
        "::1",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "10.0.0.5",
        "192.168.1.10",
        "8.8.8.8",
        "intranet",
        "printer.local",
        "10.0.0.1.nip.io",
        "localtest.me",
        "tenants.example.com",
        "other.tenants.example.com",
        "API.example.com",
        "api.example.com.",
        "https://api.example.com",
        "api.example.com:443",
        "*.example.com",
        "a b.example.com",
        "",
    ],
)
def test_an_integration_that_does_not_lead_outside_is_refused(host: str) -> None:
    assert integration_refusal(host, cell_domain=DOMAIN)


@pytest.mark.parametrize("host", ["api.example.com", "smtp.eu.mailgun.org", "xn--bcher-kva.example", "1password.com"])
def test_a_public_host_is_accepted(host: str) -> None:
    assert integration_refusal(host, cell_domain=DOMAIN) is None


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_refused(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    first, rest = number >> 24, number & 0xFFFFFF
    for text in (
        str(address),
        str(number),
        hex(number),
        f"{first}.{rest}",
        f"0{first:o}.{rest}",
        f"{first:#x}.{rest:#x}",
    ):
        assert integration_refusal(text, cell_domain=DOMAIN)


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("acme.tenants.example.com", True),
        ("mail.acme.example", True),
        ("other.tenants.example.com", False),
        ("www.acme.tenants.example.com", False),
        ("tenants.example.com", False),
        ("kubernetes.default.svc", False),
        ("web.local", False),
        ("10.0.0.1", False),
    ],
)
def test_below_the_cells_domain_only_the_own_name_is_free(host: str, accepted: bool) -> None:
    assert (public_host_refusal(host, tenant="acme", cell_domain=DOMAIN) is None) is accepted


def test_on_a_local_platform_the_own_name_is_accepted() -> None:
    assert public_host_refusal("acme.tenantry.localhost", tenant="acme", cell_domain="tenantry.localhost") is None
