"""An operator in a pod: it logs in to OpenBao with its service account's token, and keeps what it gets alive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hvac
import pytest
import requests

from tenantry.fleet.provisioner import DEPROVISIONER, PROVISIONER, ProvisionerToken
from tenantry.local import LocalPlatform
from tenantry.openbao import Refused
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.manifest import load_cell
from tenantry_operator.keeping import log_in
from tests.integration.operator.conftest import Operated


@pytest.fixture
def cell(operated: Operated, platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cell:
    """What a pod knows: the cell, and where OpenBao's authority is. No token."""
    variables = platform.environment()
    for name in ("VAULT_TOKEN", "BAO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAULT_CACERT", variables["VAULT_CACERT"])
    monkeypatch.setenv("TENANTRY_HOME", str(tmp_path))
    return load_cell(operated.root / "cell.yaml")


def projected(operated: Operated, cell: Cell, account: str, folder: Path) -> Path:
    """What Kubernetes writes into the pod."""
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [cell.spec.openbao.audience], "expirationSeconds": 600},
    }
    path = f"/api/v1/namespaces/tenantry-system/serviceaccounts/{account}/token"
    token = operated.admin.request("POST", path, body=body)["status"]["token"]
    made = folder / "token"
    made.write_text(token)
    return made


def looked_up(cell: Cell, token: str, authority: str) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env, session.verify = False, authority
        client = hvac.Client(url=cell.spec.openbao.address, token=token, session=session)
        return dict(client.auth.token.lookup_self()["data"])


def test_it_has_the_two_roles_for_as_long_as_it_renews_them(
    operated: Operated, platform: LocalPlatform, cell: Cell, tmp_path: Path
) -> None:
    log_in(cell, projected(operated, cell, "tenantry-operator", tmp_path))
    for role in (PROVISIONER, DEPROVISIONER):
        kept = ProvisionerToken(cell, role=role)
        token = kept.token()
        assert token is not None
        assert kept.path.stat().st_mode & 0o777 == 0o600
        found = looked_up(cell, token, platform.environment()["VAULT_CACERT"])
        assert set(found["policies"]) == {"default", role}
        assert found["period"] == 86_400
        assert found["meta"]["service_account_name"] == "tenantry-operator"


def test_another_account_of_its_namespace_is_not_let_in(operated: Operated, cell: Cell, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        log_in(cell, projected(operated, cell, "openbao-reviewer", tmp_path))
    assert ProvisionerToken(cell).token() is None
