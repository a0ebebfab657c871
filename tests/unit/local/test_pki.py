"""The local authorities: what they sign, how long it is kept, who may read it."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenantry.local import pki
from tenantry.local.pki import Authority, Leaf, signing_key
from tenantry.tenancy.errors import StateCorrupt


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_keys_are_closed(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "local")
    authority.issue(tmp_path, "server", Leaf(common_name="x", server=True))
    signing_key(tmp_path, "tokens")
    keys = sorted(tmp_path.rglob("*.key"))
    assert [path.name for path in keys] == ["ca.key", "server.key", "tokens.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_a_server_certificate_names_loopback_only_and_opens_nothing(tmp_path: Path) -> None:
    path, _ = Authority(tmp_path, "local").issue(tmp_path, "server", Leaf(common_name="x", server=True))
    certificate = _certificate(path)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert _purposes(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_server_that_gets_another_address_gets_another_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "local")
    first = _certificate(authority.issue(tmp_path, "server", Leaf(common_name="x", server=True))[0])
    leaf = Leaf(common_name="x", server=True, addresses=("10.201.0.1",))
    second = _certificate(authority.issue(tmp_path, "server", leaf)[0])
    assert first.serial_number != second.serial_number
    names = second.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "10.201.0.1"]
    assert _certificate(authority.issue(tmp_path, "server", leaf)[0]).serial_number == second.serial_number


def test_a_client_certificate_carries_its_groups(tmp_path: Path) -> None:
    leaf = Leaf(common_name="someone", organizations=("a", "b"))
    certificate = _certificate(Authority(tmp_path, "k").issue(tmp_path, "client", leaf)[0])
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [group.value for group in groups] == ["a", "b"]
    assert _purposes(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_everything_is_kept_at_the_second_use(tmp_path: Path) -> None:
    leaf = Leaf(common_name="x", server=True)
    Authority(tmp_path, "local").issue(tmp_path, "server", leaf)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    Authority(tmp_path, "local").issue(tmp_path, "server", leaf)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_certificate_in_its_last_month_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "local")
    leaf = Leaf(common_name="x", server=True)
    monkeypatch.setattr(pki, "_LEAF_LIFE", dt.timedelta(days=20))
    short = _certificate(authority.issue(tmp_path, "server", leaf)[0])
    monkeypatch.setattr(pki, "_LEAF_LIFE", dt.timedelta(days=397))
    renewed = _certificate(authority.issue(tmp_path, "server", leaf)[0])
    assert renewed.serial_number != short.serial_number
    renewed.verify_directly_issued_by(_certificate(authority.certificate_file))


def test_a_damaged_authority_is_said_plainly(tmp_path: Path) -> None:
    Authority(tmp_path, "local").certificate_file.write_text("cut short")
    with pytest.raises(StateCorrupt, match="cannot be read"):
        Authority(tmp_path, "local")
