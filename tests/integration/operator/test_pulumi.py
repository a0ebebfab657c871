"""Plain `pulumi` in a cell with an operator: the program declares the Tenant and awaits Ready; the operator is the only
writer of the tenant's own stack."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tenantry.local import LocalPlatform
from tenantry.tenancy.standing import standing_of
from tests.integration.clone import Clone
from tests.integration.operator.conftest import Operated
from tests.integration.operator.test_rights import TENANT

pytestmark = pytest.mark.pulumi_cli


@pytest.mark.timeout(1800)
def test_the_tenant_is_declared_awaited_and_left_to_the_operator(
    operated: Operated, platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in platform.environment().items():
        monkeypatch.setenv(variable, value)
    name, file, clone = f"p{secrets.token_hex(4)}", tmp_path / "tenant.yaml", Clone.at(tmp_path)
    file.write_text(TENANT.format(name=name, title="One"), encoding="utf-8")
    clone.stack(name, stack="tenant", tenant=str(file), mode="operator")
    clone.must("up", "--yes", "--stack", name)
    body = operated.objects.get(name)
    assert body is not None
    assert standing_of(body).reached
    assert body["metadata"]["labels"]["tenantry.dev/managed-by"] == "pulumi"
    clone.must("preview", "--expect-no-changes", "--stack", name)

    file.write_text(TENANT.format(name=name, title="Another"), encoding="utf-8")
    clone.must("up", "--yes", "--stack", name)
    edited = operated.ready(name)
    assert edited["spec"]["displayName"] == "Another"
    assert edited["status"]["observedGeneration"] == edited["metadata"]["generation"] > 1

    operated.delete_now(name)
    clone.must("destroy", "--yes", "--stack", name)
    clone.must("stack", "rm", "--yes", name)
