"""Backups as a user meets them, in a cell with its operator: taken, listed, proven, brought back, made a new tenant."""

from __future__ import annotations

import time
from pathlib import Path

from tests.e2e.user import User

NAME = "acme-coffee"


def _condition(user: User, kind: str) -> dict[str, str]:
    conditions = user.json("tenant", "status", NAME)["status"]["conditions"]
    return next((one for one in conditions if one["type"] == kind), {})


def test_a_backup_is_taken_listed_proven_and_brought_back(user: User) -> None:
    taken = user.json("tenant", "backup", NAME)
    told = _condition(user, "BackedUp")
    assert (told["status"], told["reason"]) == ("True", "BackupKept")
    assert taken["asked"] in told["message"]
    (kept,) = [one for one in user.json("tenant", "backups", NAME)["backups"] if one["id"] == taken["backup"]]
    assert kept["id"] in told["message"]
    assert len(kept["sha256"]) == 64
    assert user.json("tenant", "prove", NAME, "--backup", kept["id"])["proven"] is True
    assert "SHA-256" in user.types("tenantry", "tenant", "backups", NAME).stdout

    unconfirmed = user.types("tenantry", "tenant", "restore", NAME, "--backup", kept["id"], code=2)
    assert "--yes" in unconfirmed.stderr
    user.types("tenantry", "tenant", "restore", NAME, "--backup", kept["id"], "--yes")
    told = _condition(user, "Restored")
    assert (told["status"], told["reason"]) == ("True", "Restored")
    assert "before a change" in {one["kind"] for one in user.json("tenant", "backups", NAME)["backups"]}
    user.types("tenantry", "tenant", "status", NAME, "--wait")


def test_kubectl_asks_as_well_and_each_wish_is_answered_once(user: User) -> None:
    for wish in ("latest#e2e", "nonsense"):
        user.shell(f"kubectl annotate --overwrite tenant {NAME} tenantry.dev/restore='{wish}'")
        deadline = time.monotonic() + 300
        while f"(asked for: {wish})" not in (message := _condition(user, "Restored").get("message", "")):
            assert time.monotonic() < deadline, message
            time.sleep(1)
    assert "names nothing that can be restored" in message
    user.shell(f"kubectl annotate tenant {NAME} tenantry.dev/restore-")
    user.types("tenantry", "tenant", "status", NAME, "--wait")


def test_a_new_tenant_begins_from_a_backup(user: User) -> None:
    user.types("tenantry", "tenant", "backup", NAME)
    user.types("tenantry", "tenant", "restore", NAME, "--as", "acme-then")
    shown = user.json("tenant", "status", "acme-then")["status"]
    conditions = {one["type"]: one["status"] for one in shown["conditions"]}
    assert (conditions["Ready"], conditions["Restored"]) == ("True", "True")


def test_a_tenant_cannot_begin_from_one_that_is_not_there(user: User, tmp_path: Path) -> None:
    file = tmp_path / "then.yaml"
    spec = "displayName: Then, owner: a@example.com, plan: starter, origin: {tenant: nobody, backup: latest}"
    file.write_text(f"apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: then}}\nspec: {{{spec}}}\n")
    done = user.types("tenantry", "tenant", "up", str(file), code=2)
    for said in ("then.yaml:4", "spec.origin.tenant", "no tenant nobody"):
        assert said in done.stderr
    assert "then" not in {one["name"] for one in user.json("tenant", "list")["tenants"]}


def test_bad_wishes_are_refused_with_what_to_write(user: User) -> None:
    for arguments, said in (
        (("--backup", "nonsense"), "names nothing that can be restored"),
        (("--backup", "20200101T000000Z-0a0a0a0a"), "tenantry tenant backups"),
        (("--at", "yesterday"), "names nothing that can be restored"),
        (("--at", "2030-01-01T00:00:00Z", "--backup", "latest"), "exclude each other"),
    ):
        done = user.types("tenantry", "tenant", "restore", NAME, "--yes", *arguments, code=2)
        assert said in done.stderr
    assert "no Tenant object nobody" in user.types("tenantry", "tenant", "backup", "nobody", code=2).stderr
