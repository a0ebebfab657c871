"""The drill: a cell is backed up while it works, lost with everything, and made anew from the file and the key.

Prints how long it was away (RTO), and from when on work is lost (RPO): the backup's own moment.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.user import User

CELL = ("--local", "drill")
WRITES = "INSERT INTO drill VALUES (CONCAT(UTC_TIMESTAMP(6), '+00:00')); DO SLEEP(0.2); " * 100
"""One at a time, for twenty seconds."""
TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  displayName: Drill
  owner: drill@example.com
  plan: starter
  environment: test
"""


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[User]:
    """Somebody with a cell of their own, which they will lose."""
    someone = User(home=tmp_path)
    tmp_path.chmod(0o755)
    try:
        someone.types("tenantry", "local", "up", "--name", "drill")
        yield someone
    finally:
        someone.types("tenantry", "local", "down", "--name", "drill", "--remove", "--yes", code=None)


def sql(someone: User, names: dict[str, str], statement: str) -> str:
    """As the workload does it: with the password that OpenBao holds now."""
    script = (
        f'eval "$(tenantry local env --name drill)"\n'
        f'MYSQL_PWD="$(bao read -field=password database/static-creds/{names["role"]})" '
        f'mariadb -u {names["account"]} -N {names["schema"]} -e "{statement}"'
    )
    return someone.types("bash", "-euc", script).stdout


def with_kubectl(someone: User, script: str) -> str:
    return someone.types("bash", "-euc", f'eval "$(tenantry local env --name drill)"\n{script}').stdout


def shown(someone: User, name: str) -> dict[str, str]:
    (namespace,) = [one["namespace"] for one in someone.json("tenant", "list", *CELL)["tenants"] if one["name"] == name]
    schema = namespace.replace("-", "_")
    return {"namespace": namespace, "schema": schema, "account": f"{schema}_a", "role": f"{namespace}-a"}


@pytest.mark.timeout(1800)
def test_a_lost_cell_comes_back_from_its_backup(operator: User, tmp_path: Path) -> None:
    files = []
    for name in ("kept", "goes"):
        (tmp_path / f"{name}.yaml").write_text(TENANT.format(name=name))
        files.append(str(tmp_path / f"{name}.yaml"))
    operator.types("tenantry", "tenant", "up", *files, *CELL)
    names = shown(operator, "kept")
    sql(operator, names, "CREATE TABLE drill (at VARCHAR(40)); INSERT INTO drill VALUES ('before')")
    private, public, away = tmp_path / "private", tmp_path / "public", tmp_path / "away"
    operator.types("tenantry", "cell", "backup-keys", "--private", str(private), "--public", str(public))
    writing = threading.Thread(target=lambda: sql(operator, names, WRITES))
    writing.start()
    taken = operator.json("cell", "backup", "--to", str(away), "--key", str(public), *CELL)
    writing.join()

    operator.types("tenantry", "tenant", "delete", "goes", "--now", "--yes", *CELL)
    sql(operator, names, "INSERT INTO drill VALUES ('after')")
    cell = tmp_path / "cells" / "drill"
    shutil.copytree(cell / "tombstones", tmp_path / "graves")
    refused = operator.json("cell", "restore", taken["file"], "--key", str(private), code=None)
    assert "there is a local platform" in refused["errors"][0]["message"]
    operator.types("tenantry", "local", "down", "--name", "drill", "--remove", "--yes")
    assert not cell.exists()
    lost_at = datetime.now(UTC)

    damaged = tmp_path / "damaged.cell"
    damaged.write_bytes(Path(taken["file"]).read_bytes()[:-100])
    assert operator.types("tenantry", "cell", "restore", str(damaged), "--key", str(private), code=5)
    assert operator.types("tenantry", "cell", "restore", taken["file"], "--key", str(public), code=2)
    assert not cell.exists(), "nothing half-made is left"

    begun = datetime.now(UTC)
    restored = operator.json(
        "cell", "restore", taken["file"], "--key", str(private), "--tombstones", str(tmp_path / "graves")
    )
    moment, back = datetime.fromisoformat(restored["moment"]), datetime.now(UTC)
    print(
        f"RTO {(back - begun).total_seconds():.0f} s, until every part ran {restored['seconds']} s; "
        f"RPO {(lost_at - moment).total_seconds():.0f} s, the time since the backup; "
        f"{taken['bytes'] / 2**20:.1f} MiB, taken in {taken['seconds']} s"
    )

    rows = sql(operator, names, "SELECT at FROM drill").splitlines()
    assert rows[0] == "before"
    assert "after" not in rows
    assert all(datetime.fromisoformat(row) <= moment for row in rows[1:]), "nothing is there of after the moment"
    assert restored["deletedAgain"] == [
        json.loads(path.read_text())["namespace"] for path in (tmp_path / "graves").glob("*.json")
    ]
    assert [one["name"] for one in operator.json("tenant", "list", *CELL)["tenants"]] == ["kept"]
    parts = operator.json("local", "status", "--name", "drill")["parts"]
    assert {one["state"] for one in parts} == {"running"}
    assert operator.json("tenant", "drift", "kept", *CELL)["tenants"][0]["drifted"] == []
    listed = "kubectl get ns -l tenantry.dev/tenant -o name; kubectl get tenants.tenantry.dev -o name"
    found = with_kubectl(operator, listed).split()
    assert found == [f"namespace/{names['namespace']}", "tenant.tenantry.dev/kept"]
    certificate = operator.json("tenant", "certificate", "goes", *CELL)
    assert certificate, "the second deletion has its own proof"
