"""The provisioner's token: a tenant's whole life passes under it, and little else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hvac
import kubernetes.client
import kubernetes.config
import pytest
import requests
from hvac.exceptions import Forbidden

from tenantry.engine import EmbeddedEngine
from tenantry.engine.interface import Op
from tenantry.fleet import Fleet
from tenantry.fleet.provisioner import PROVISIONER, ProvisionerToken
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.manifest import load_tenant

EXAMPLES = Path(__file__).resolve().parents[3] / "tenant_templates" / "examples"

OTHERS = "t-somebody-abcd2345"
ALLOWED = {
    f"transit/keys/{OTHERS}": {"create", "read", "update", "delete"},
    "transit/keys/state-somebody-abcd2345": {"create", "read", "update", "delete"},
    "transit/decrypt/state-somebody-abcd2345": {"update"},
    f"kv/data/tenants/{OTHERS}/app": {"create", "update", "patch"},
    f"kv/subkeys/tenants/{OTHERS}/app": {"read"},
    f"kv/metadata/tenants/{OTHERS}/app": {"delete", "list", "scan"},
    f"kv/data/cell/egress/{OTHERS}": {"create", "read", "update"},
    f"database/static-roles/{OTHERS}-a": {"create", "read", "update", "delete"},
    f"database/config/{OTHERS}": {"create", "read", "update", "delete"},
    f"database/rotate-root/{OTHERS}": {"update"},
    "database/static-creds/tenantry-provisioner": {"read"},
    "database/static-creds/tenantry-observer": {"read"},
    f"database/static-creds/tenantry-provisioner-{OTHERS}": {"read"},
    f"database/static-roles/tenantry-provisioner-{OTHERS}": {"create", "read", "update", "delete"},
    "kv/data/cell/authority": {"read"},
}
DENIED = [
    # A tenant's secrets, accounts and data.
    f"kv/data/tenants/{OTHERS}/app",
    f"kv/data/tenants/{OTHERS}/server",
    f"kv/data/tenants/{OTHERS}/integrations/crm",
    f"database/static-creds/{OTHERS}-a",
    f"database/creds/{OTHERS}",
    f"transit/encrypt/{OTHERS}",
    f"transit/decrypt/{OTHERS}",
    f"transit/rewrap/{OTHERS}",
    f"transit/datakey/plaintext/{OTHERS}",
    f"transit/export/encryption-key/{OTHERS}",
    f"transit/backup/{OTHERS}",
    # The cell's own.
    "transit/keys/state-cell-tests",
    "transit/decrypt/state-cell-tests",
    "transit/export/encryption-key/state-cell-tests",
    "cell/data/1",
    "database/config/shared",
    "database/rotate-root/shared",
    "database/static-roles/tenantry-provisioner",
    "database/roles/tenantry-setup",
    # Who may do what.
    "sys/policies/acl/tenantry-provisioner",
    "sys/policies/acl/tenantry-tenant",
    "sys/auth",
    "sys/auth/userpass",
    "sys/mounts/transit",
    "sys/mounts/transit/tune",
    "sys/audit",
    "sys/seal",
    "sys/storage/raft/snapshot",
    "auth/kubernetes/config",
    "auth/kubernetes/role/tenant",
    "auth/kubernetes/role/provisioner",
    "auth/token/create",
    "auth/token/create/tenantry-provisioner",
    "auth/token/roles/tenantry-provisioner",
    "identity/entity",
]


OTHER_VERBS = {path: {"post"} for path in DENIED if path.startswith("kv/data/tenants/")} | {
    "sys/seal": {"get", "list", "delete"}
}
"""What is allowed there (write, not read back), or unknown."""


@pytest.fixture
def kept(cell: Cell, cell_run: object, tmp_path: Path) -> ProvisionerToken:
    """The token as `tenantry cell up` leaves it."""
    token = ProvisionerToken(cell, root=tmp_path)
    assert token.keep()
    return token


@pytest.fixture
def provisioner(kept: ProvisionerToken, monkeypatch: pytest.MonkeyPatch) -> Iterator[hvac.Client]:
    """This process is the provisioner."""
    for name, value in kept.environment().items():
        monkeypatch.setenv(name, value)
    with _client(os.environ["VAULT_TOKEN"]) as client:
        yield client


@contextmanager
def _client(token: str | None) -> Iterator[hvac.Client]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = os.environ["VAULT_CACERT"]
        yield hvac.Client(url=os.environ["VAULT_ADDR"], token=token, session=session, timeout=15)


@pytest.mark.parametrize("example", ["acme-coffee", "globex-bank"])
def test_a_tenants_whole_life_passes(cell: Cell, provisioner: hvac.Client, tmp_path: Path, example: str) -> None:
    text = (EXAMPLES / f"{example}.yaml").read_text(encoding="utf-8")
    path = tmp_path / "tenant.yaml"
    path.write_text(text.replace(f"name: {example}", f"name: {example}-p"), encoding="utf-8")
    fleet = Fleet(cell=cell, engine=EmbeddedEngine(), catalogue=Catalogue.load(), root=tmp_path)
    file = load_tenant(path)
    (spec,) = fleet.specs.resolve_all([file])
    assert fleet.preview(spec).changes
    (first,) = fleet.up([(file, spec)])
    assert first.error is None
    (second,) = fleet.up([(file, spec)])
    assert second.result is not None
    assert set(second.result.counts) == {Op.SAME}
    stack, _ = fleet.stack_of(spec)
    assert set(fleet.engine.refresh(stack).counts) == {Op.SAME}
    with pytest.raises(Forbidden):
        provisioner.read(f"kv/data/{spec.names.kv_path}/app")
    with pytest.raises(Forbidden):
        provisioner.read(f"database/static-creds/{spec.names.database_role_a}")
    fleet.engine.destroy(stack, lift_protection=True)
    fleet.engine.remove(stack)
    left = [path for path in fleet.backend.rglob("*") if spec.name in path.name]
    assert left == []


@pytest.mark.parametrize("path", list(ALLOWED))
def test_it_may(path: str, provisioner: hvac.Client) -> None:
    assert set(_capabilities(provisioner, path)) == ALLOWED[path]


@pytest.mark.parametrize("path", DENIED)
def test_it_may_not(path: str, provisioner: hvac.Client) -> None:
    for verb in {"get", "list", "post", "delete"} - OTHER_VERBS.get(path, set()):
        with pytest.raises(Forbidden):
            provisioner.adapter.request(verb, f"/v1/{path}", **({"json": {}} if verb == "post" else {}))


def _capabilities(client: hvac.Client, path: str) -> list[str]:
    answer = client.adapter.post("/v1/sys/capabilities-self", json={"paths": [path]})
    return list(answer["data"][path])


def test_it_is_an_orphan_of_one_policy_with_a_period(kept: ProvisionerToken, provisioner: hvac.Client) -> None:
    found = provisioner.auth.token.lookup_self()["data"]
    assert found["orphan"]
    assert set(found["policies"]) == {"default", PROVISIONER}
    assert found["renewable"]
    assert found["explicit_max_ttl"] == 0
    assert 29 * 86_400 < found["ttl"] <= 30 * 86_400
    assert kept.path.stat().st_mode & 0o777 == 0o600


def test_a_second_set_up_keeps_it_and_a_revoked_one_is_made_anew(
    kept: ProvisionerToken, environment: dict[str, str]
) -> None:
    token = kept.environment()["VAULT_TOKEN"]
    assert not kept.keep()
    assert kept.environment()["VAULT_TOKEN"] == token
    with _client(environment["VAULT_TOKEN"]) as administrator:
        administrator.auth.token.revoke(token)
    os.utime(kept.path, (0, 0))
    with pytest.raises(DependencyUnavailable, match="no longer knows"):
        kept.environment()
    assert kept.keep()
    assert kept.environment()["VAULT_TOKEN"] != token


def test_a_token_of_another_server_is_not_used(kept: ProvisionerToken) -> None:
    kept.path.write_text('{"address": "https://elsewhere:8200", "token": "x"}', encoding="utf-8")
    assert kept.environment() == {}


def test_the_operators_service_account_alone_logs_in_as_provisioner(cell: Cell, cell_run: object) -> None:
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(os.environ["KUBECONFIG"]))
    for account, fits in (("tenantry-operator", True), ("openbao-reviewer", False)):
        body = {"metadata": {"name": account}}
        names = {one.metadata.name for one in core.list_namespaced_service_account("tenantry-system").items}
        if account not in names:
            core.create_namespaced_service_account("tenantry-system", body)
        token = core.create_namespaced_service_account_token(
            account, "tenantry-system", {"spec": {"audiences": [cell.spec.openbao.audience], "expirationSeconds": 600}}
        ).status.token
        with _client(None) as client:
            if fits:
                answer = client.auth.kubernetes.login(role="provisioner", jwt=token)
                assert PROVISIONER in answer["auth"]["policies"]
            else:
                with pytest.raises(Forbidden):
                    client.auth.kubernetes.login(role="provisioner", jwt=token)
