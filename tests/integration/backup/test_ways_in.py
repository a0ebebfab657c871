"""The other ways to a store and to OpenBao: an S3-compatible bucket over TLS, an agent, and a sealed server."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
import requests

from tests.integration.backup.conftest import Tenant, eventually, free_port, process
from tests.s3 import Login, s3_store


def _listens(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


@pytest.fixture
def bucket(tenant: Tenant, mariadb: tuple[int, Path, str]) -> Iterator[tuple[dict[str, str], Path]]:
    """Variables that lead to a bucket whose credentials are in OpenBao, and the folder that backs it."""
    _, authority, _ = mariadb
    port, login = free_port(), Login(access="tenant-access", secret=secrets.token_hex(20))
    tenant.openbao.secrets.kv.v2.create_or_update_secret(
        path=f"tenants/{tenant.name}/backup-store",
        secret={"access_key_id": login.access, "secret_access_key": login.secret},
        mount_point="kv",
    )
    tls = (authority.with_name("server.pem"), authority.with_name("server.key"))
    with s3_store(tenant.home / "gateway", "backups", port=port, login=login, tls=tls) as folder:
        yield (
            {
                "TENANTRY_BACKUP_STORE_KIND": "s3",
                "TENANTRY_BACKUP_STORE_URL": f"https://127.0.0.1:{port}/backups",
                "TENANTRY_BACKUP_STORE_CA": str(authority),
            },
            folder,
        )


def test_a_bucket_takes_and_gives_back(tenant: Tenant, bucket: tuple[dict[str, str], Path]) -> None:
    changes, folder = bucket
    tenant.sql("CREATE TABLE big (id INT PRIMARY KEY, body BLOB)")
    tenant.sql("INSERT INTO big SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_40000")
    first = tenant.run("run", "--json", **changes).document["backup"]["id"]
    assert tenant.run("verify", **changes).code == 0
    assert tenant.run("restore", "--schema", tenant.spare, **changes).code == 0
    assert tenant.sql("CHECKSUM TABLE big", schema=tenant.spare)[0][1] == tenant.sql("CHECKSUM TABLE big")[0][1]
    unfinished = folder / tenant.name / "20200101T000000Z-00000000" / "database"
    unfinished.mkdir(parents=True)
    (unfinished / "00000000").write_bytes(b"x")
    pruned = tenant.run("prune", "--json", **changes).document
    assert pruned == {"expired": [], "unfinished": ["20200101T000000Z-00000000"]}
    assert {path.relative_to(folder / tenant.name).parts[0] for path in folder.rglob("*") if path.is_file()} == {first}


def test_a_bucket_with_an_unknown_certificate_or_wrong_credentials_is_refused(
    tenant: Tenant, bucket: tuple[dict[str, str], Path]
) -> None:
    changes, folder = bucket
    other = {**changes, "TENANTRY_BACKUP_STORE_CA": "/etc/ssl/certs/ca-certificates.crt"}
    ended = tenant.run("list", **other)
    assert (ended.code, "backup store failed to list" in ended.err) == (3, True)
    tenant.openbao.secrets.kv.v2.create_or_update_secret(
        path=f"tenants/{tenant.name}/backup-store",
        secret={"access_key_id": "tenant-access", "secret_access_key": "known-wrong-secret"},
        mount_point="kv",
    )
    ended = tenant.run("run", **changes)
    assert (ended.code, "backup store failed" in ended.err, "known-wrong-secret" in ended.err) == (3, True, False)
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_an_agent_on_loopback_adds_the_token(tenant: Tenant) -> None:
    port, token, config = free_port(), tenant.home / "token", tenant.home / "agent.hcl"
    token.write_text(tenant.environment["VAULT_TOKEN"])
    config.write_text(
        f"""
        vault {{ address = "{tenant.environment["VAULT_ADDR"]}" }}
        auto_auth {{ method {{ type = "token_file"
                              config = {{ token_file_path = "{token}" }} }} }}
        api_proxy {{ use_auto_auth_token = true }}
        listener "tcp" {{ address = "127.0.0.1:{port}"
                          tls_disable = true
                          require_request_header = true }}
        """
    )
    agent = str(Path(sys.executable).with_name("bao"))
    changes = {"VAULT_ADDR": f"http://127.0.0.1:{port}", "VAULT_TOKEN": "", "TENANTRY_BACKUP_AUTH": "agent"}
    with process(agent, "agent", f"-config={config}", log=tenant.home / "agent.log"):
        eventually(lambda: _listens(port))
        taken = eventually(lambda: tenant.run("run", "--json", **changes).document)
    assert {part["name"] for part in taken["backup"]["parts"]} == {"database", "media-files", "secrets"}


def test_a_sealed_openbao_is_named(tenant: Tenant) -> None:
    address, token = f"http://127.0.0.1:{free_port()}", secrets.token_hex(16)
    program = str(Path(sys.executable).with_name("bao"))
    listen = address.removeprefix("http://")
    with (
        process(
            *(program, "server", "-dev", "-dev-no-store-token"),
            *(f"-dev-root-token-id={token}", f"-dev-listen-address={listen}"),
            log=tenant.home / "sealed.log",
        ),
        requests.Session() as session,
    ):
        session.trust_env = False
        eventually(lambda: hvac.Client(url=address, token=token, session=session).sys.seal())
        ended = tenant.run("run", VAULT_ADDR=address, VAULT_TOKEN=token)
    assert (ended.code, "is sealed" in ended.err) == (3, True), ended.err
