"""`tenantry tenant scale | suspend | resume | extend`, as they are typed, with an operator and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tenantry.tenancy.conditions import ConditionType
from tests.integration.scaling.conftest import Operated

_COMMAND = Path(sys.executable).parent / "tenantry"
_LIMIT_S = 300

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {name: alone}
spec:
  displayName: Alone  # kept as it is
  owner: alone@example.com
  plan: starter
  environment: test
  expiresOn: "2099-01-01"
"""


@pytest.fixture(scope="module")
def cells(operated: Operated, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Files of the cell, by whether it has an operator."""
    folder, found = tmp_path_factory.mktemp("cells"), {}
    for operator in (True, False):
        spec = operated.fleet.cell.spec.model_copy(update={"operator": operator})
        cell = operated.fleet.cell.model_copy(update={"spec": spec})
        found[operator] = folder / f"{operator}.yaml"
        found[operator].write_text(cell.model_dump_json(by_alias=True))
    return found


def typed(operated: Operated, cell: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """A command with `--json`; what it prints."""
    done = subprocess.run(
        [_COMMAND, "tenant", *arguments, "--cell", cell, "--json"],
        env=os.environ | {"TENANTRY_HOME": str(operated.fleet.folder.parents[1])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_in_a_cell_with_an_operator_the_object_is_edited(operated: Operated, cells: dict[bool, Path]) -> None:
    later = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
    name = operated.create(plan="starter", environment="test", expiresOn=later, backup={"enabled": False})

    scaled = typed(operated, cells[True], "scale", name, "scoring=0", "messaging-failed=1")
    told = {one["name"]: (one["replicas"], one["basis"]) for one in scaled["modules"]}
    assert (told["scoring"], told["messaging-failed"]) == ((0, "ByHand"), (1, "ByHand"))
    assert operated.replicas(name)["scoring"] == 0
    refused = typed(operated, cells[True], "scale", name, "scoring=9", code=2)
    assert "scoring" in json.dumps(refused)
    assert operated.body(name)["spec"]["modules"]["scoring"] == {"scale": 0}, "nothing was written"
    typed(operated, cells[True], "scale", name, "scoring=auto", "messaging-failed=auto")
    assert "modules" not in operated.body(name)["spec"] or not operated.body(name)["spec"]["modules"]

    typed(operated, cells[True], "suspend", name)
    assert operated.condition(name, ConditionType.SUSPENDED) == "True"
    typed(operated, cells[True], "resume", name, "--no-wait")
    operated.until(lambda: operated.settled(name) and operated.replicas(name).get("scoring") == 1)

    typed(operated, cells[True], "extend", name, "--days", "5")
    longer = (datetime.fromisoformat(later) + timedelta(days=5)).date().isoformat()
    assert operated.body(name)["spec"]["expiresOn"] == longer
    typed(operated, cells[True], "extend", name, "--until", later, code=2)
    typed(operated, cells[True], "suspend", "nobody", code=2)


def test_in_a_cell_without_one_the_record_is_edited_and_run(
    operated: Operated, cells: dict[bool, Path], tmp_path: Path
) -> None:
    file = tmp_path / "alone.yaml"
    file.write_text(TENANT)
    typed(operated, cells[False], "up", str(file))
    typed(operated, cells[False], "scale", "alone", "web=3", "scoring=2", code=2)  # a test environment has one of each
    typed(operated, cells[False], "suspend", "alone")
    assert set(operated.replicas("alone")) == {"web"}
    typed(operated, cells[False], "resume", "alone")
    assert "scoring" in operated.replicas("alone")
    typed(operated, cells[False], "extend", "alone", "--days", "10")
    record = operated.fleet.registry.get("alone")
    assert record is not None
    assert "2099-01-11" in record.manifest
    assert "# kept as it is" in record.manifest
    typed(operated, cells[False], "destroy", "alone", "--yes")
