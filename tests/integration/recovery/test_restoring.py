"""Restores on a real API server, OpenBao and MariaDB: cut off at every step, into a new tenant, refused, given up."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tenantry.fleet.closing import replicas_of, schedules_of
from tenantry.fleet.operations import Operations
from tenantry.recovery import let_go, put_back, snapshot
from tenantry.recovery.identity import as_tenant
from tenantry.recovery.restoring import Restoring
from tenantry.tenancy.errors import Conflict, InvalidInput
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.recovery import Goal, Step
from tenantry.tenancy.spec import Activity
from tests.integration.recovery.conftest import TENANT, Living, Make, fill

_wishes = itertools.count()


def wish() -> str:
    return f"wish {next(_wishes)}"


def works(namespace: str) -> list[str]:
    """What has replicas; how many is an autoscaler's."""
    return sorted(name for name, replicas in replicas_of(namespace).items() if replicas)


class Killed(BaseException):
    """Nothing of ours catches it."""


@pytest.mark.parametrize("step", list(Step))
def test_a_restore_that_is_killed_after_a_step_ends_restored(
    shop: Living, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = shop.spec.names.namespace
    fill(shop, "kept")
    kept, running, schedules = shop.rows(), works(namespace), schedules_of(namespace)
    backup = shop.backing_up.take()
    fill(shop, "later")
    later = shop.rows()
    asked, put = wish(), Operations.put

    def put_or_die(self: Operations, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "restore" and step in content["done"]:
            raise Killed  # what the step did is done, and nobody has noted it
        put(self, kind, content)

    shop.restoring().request(asked, Goal(backup=backup.id))
    with monkeypatch.context() as patch:
        patch.setattr(Operations, "put", put_or_die)
        with pytest.raises(Killed):
            shop.restoring().advance()
    assert shop.rows() in (kept, later)
    ended = shop.restoring().advance()
    assert (ended.ended_at is not None, ended.problem) == (True, "")
    assert shop.rows() == kept
    assert shop.sql("SELECT said FROM {}.names") == (("kept",),)
    assert (works(namespace), schedules_of(namespace)) == (running, schedules)
    assert shop.scratch_left() == []
    assert shop.restoring().request(asked, Goal(backup=backup.id)) == ended  # the same wish asks once
    if step is Step.CLEAN:
        # What was there before the restore is the way back.
        assert ended.saved is not None
        shop.restoring().request(wish(), Goal(backup=ended.saved))
        assert shop.restoring().advance().problem == ""
        assert shop.rows() == later


def test_a_new_tenant_begins_from_anothers_backup_with_its_secrets_and_runs_only_then(shop: Living, make: Make) -> None:
    fill(shop, "origin")
    shop.backing_up.take()
    begun = make(more=f", origin: {{tenant: {shop.spec.name}}}")
    assert begun.spec.activity is Activity.CLOSED
    assert set(works(begun.spec.names.namespace)) <= {"cache"}  # a server of its own
    restoring = begun.restoring(origin=shop.spec)
    restoring.request("origin", Goal())
    assert restoring.advance().problem == ""
    assert begun.rows() == shop.rows()
    assert begun.sql("SELECT said FROM {}.names") == (("origin",),)
    assert begun.secrets() == shop.secrets()
    (spec,) = begun.fleet.specs.resolve_all([begun.file])
    assert spec.activity is Activity.RUNNING
    (applied,) = begun.fleet.up([(begun.file, spec)])
    assert applied.error is None
    assert "web" in works(begun.spec.names.namespace)
    assert begun.secrets() == shop.secrets()


def test_a_tenant_that_is_there_cannot_be_given_an_origin(shop: Living) -> None:
    text = TENANT.format(name=shop.spec.name, more=", origin: {tenant: acme}")
    with pytest.raises(InvalidInput) as caught:
        shop.fleet.specs.resolve_all([parse_tenant(text, source="tenant.yaml")])
    assert [problem.path for problem in caught.value.problems] == ["spec.origin"]


def test_an_unknown_or_damaged_backup_is_refused_before_anything_stops(shop: Living) -> None:
    fill(shop, "safe")
    before, running = shop.rows(), works(shop.spec.names.namespace)
    shop.restoring().request(wish(), Goal(backup="20200101T000000Z-00000000"))
    ended = shop.restoring().advance()
    assert "there is no backup 20200101T000000Z-00000000" in ended.problem
    assert Step.STOP not in ended.done
    assert (shop.rows(), works(shop.spec.names.namespace)) == (before, running)


def test_a_schema_too_broken_to_be_dumped_is_restored_and_its_tables_stay(shop: Living) -> None:
    fill(shop, "whole")
    whole = shop.rows()
    shop.backing_up.take()
    shop.sql("CREATE VIEW {0}.broken AS SELECT id FROM {0}.only_whole")
    shop.sql("DROP TABLE {}.only_whole")
    shop.restoring().request(wish(), Goal())
    ended = shop.restoring().advance()
    assert (ended.problem, ended.saved) == ("", None)
    assert "dump failed" in ended.unsaved
    assert shop.rows() == whole
    assert shop.scratch_left() == [shop.spec.names.schema + "_before"]
    shop.restoring().request(wish(), Goal())
    assert shop.restoring().advance().problem == ""
    assert shop.scratch_left() == []


def test_a_restore_that_is_taken_back_before_the_swap_leads_back(shop: Living) -> None:
    namespace = shop.spec.names.namespace
    fill(shop, "one")
    shop.backing_up.take()
    fill(shop, "two")
    before, running, schedules = shop.rows(), works(namespace), schedules_of(namespace)
    told: list[str] = []
    restoring = shop.restoring(progress=told.append, stopping=lambda: any(one.startswith("stop") for one in told))
    restoring.request(wish(), Goal())
    assert restoring.advance().ended_at is None
    assert works(namespace) == []
    with pytest.raises(Conflict, match="under way"):
        shop.restoring().request(wish(), Goal())
    shop.restoring().give_up("it was taken back")
    ended = shop.restoring().advance()
    assert ended.problem == "it was taken back"
    assert (shop.rows(), works(namespace), schedules_of(namespace)) == (before, running, schedules)
    assert shop.scratch_left() == []


def test_a_last_backup_is_proven_and_one_that_does_not_come_back_is_told(shop: Living) -> None:
    fill(shop, "proof")
    kept = shop.backing_up.take(asked="please")
    proof = shop.backing_up.prove()
    assert (proof.id, proof.rows, proof.problem) == (kept.id, 2, "")
    journal = shop.backing_up.journal()
    assert (journal.last, journal.proven, journal.asked, journal.answer) == (kept, proof, "please", kept.id)
    folder = shop.fleet.cell.spec.backups.url + "/" + shop.spec.names.backup_prefix + kept.id
    with open(f"{folder}/database/00000000", "r+b") as file:  # noqa: PTH123
        file.write(b"\x00\x01\x02")
    failed = shop.backing_up.prove()
    assert "was altered" in failed.problem
    journal = shop.backing_up.journal()
    assert (journal.proof, journal.proven) == (failed, proof)
    assert shop.scratch_left() == []
    shop.restoring().request(wish(), Goal(backup=kept.id))
    assert "was altered" in shop.restoring().advance().problem


def test_a_snapshot_is_put_back_and_let_go(shop: Living) -> None:
    fill(shop, "before")
    before = shop.rows()
    identifier = snapshot(shop.spec)
    assert identifier is not None
    fill(shop, "migrated")
    listed = shop.backing_up.listed()
    assert identifier in [one.id for one in listed.before_restore.whole]
    assert identifier not in [one.id for one in listed.backups.whole]
    put_back(shop.spec, identifier)
    assert shop.rows() == before
    let_go(shop.spec, identifier)
    assert identifier not in [one.id for one in shop.backing_up.listed().before_restore.whole]


def test_a_restore_and_a_deletion_exclude_each_other(make: Make) -> None:
    from tenantry.deprovisioning import Deprovisioning

    going = make()
    Deprovisioning(going.fleet).request(going.spec.name, by="somebody")
    with pytest.raises(Conflict, match="is being deleted"):
        Restoring(going.fleet, going.spec).request(wish(), Goal())


def test_the_tenants_token_and_authority_are_on_no_disk_that_a_kill_would_leave(
    shop: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with as_tenant(shop.spec) as around, around.database.session() as (session, _):
        assert session.execute("SELECT 1") == ((1,),)
        assert list(tmp_path.iterdir()) == []
