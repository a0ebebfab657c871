"""What a run's table tells to look at next."""

from __future__ import annotations

from typing import cast

import pytest

from tenantry.cli.tables import print_applied
from tenantry.engine.interface import Op, RunResult
from tenantry.fleet import Applied, Fleet
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.spec import TenantSpec
from tests.unit.conftest import Resolve


class Cellular:
    """As much of a fleet as a table asks."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


def told(spec: TenantSpec, capsys: pytest.CaptureFixture[str]) -> str:
    result = RunResult(changes=(), counts={Op.SAME: 1}, outputs={}, seconds=1.0, timings={})
    print_applied(cast(Fleet, Cellular(spec.cell)), [Applied(spec=spec, result=result, error=None)])
    return capsys.readouterr().out


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("tier", ["shared", "dedicated"])
def test_a_login_is_named_only_where_openbao_keeps_one(
    resolve_text: Resolve, cell: Cell, capsys: pytest.CaptureFixture[str], tier: str, *, simulated: bool
) -> None:
    kubernetes = cell.spec.kubernetes.model_copy(update={"simulated_nodes": simulated})
    here = cell.model_copy(update={"spec": cell.spec.model_copy(update={"kubernetes": kubernetes})})
    spec = resolve_text(f"database: {{tier: {tier}}}", plan="enterprise", cell=here)
    text = told(spec, capsys)
    kept = tier == "shared" or not simulated
    assert (f"bao read database/static-creds/{spec.names.database_role_a}" in text) is kept
    assert (f"bao kv list kv/{spec.names.kv_path}" in text) is not kept
