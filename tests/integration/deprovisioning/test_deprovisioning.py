"""Deletion on the real platform: grace and back, erasing, and the proof that nothing opens afterwards."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from tenantry.backup.catalogue import catalogue
from tenantry.backup.openbao import KeyDestroyed
from tenantry.backup.restoring import open_all
from tenantry.backup.settings import Settings
from tenantry.backup.surroundings import surroundings
from tenantry.deprovisioning import Certificate, Deprovisioning, age_out, check_certificate
from tenantry.deprovisioning.certificate import public_keys
from tenantry.engine.interface import Op
from tenantry.fleet import Fleet
from tenantry.fleet.closing import replicas_of, schedules_of
from tenantry.tenancy.deletion import Step
from tenantry.tenancy.errors import Conflict, InvalidInput, StateCorrupt
from tenantry.tenancy.manifest import parse_tenant
from tests.integration.deprovisioning.conftest import Made, Make, Systems, grace_is_over


def settings(systems: Systems, made: Made, store: Path) -> Settings:
    """What `tenantry-backup` is given, with an administrator's token: more than any tenant has."""
    derived, cell = made.names, systems.fleet.cell.spec
    return Settings.from_environment(
        {
            "VAULT_ADDR": cell.openbao.address,
            "VAULT_CACERT": systems.platform.environment()["VAULT_CACERT"],
            "VAULT_TOKEN": systems.openbao.token,
            "TENANTRY_BACKUP_NAMESPACE": derived.namespace,
            "TENANTRY_BACKUP_INCARNATION": made.incarnation,
            "TENANTRY_BACKUP_TRANSIT_KEY": derived.transit_key,
            "TENANTRY_BACKUP_KV_PATH": derived.kv_path,
            "TENANTRY_BACKUP_DATABASE_HOST": cell.database.host,
            "TENANTRY_BACKUP_DATABASE_SCHEMA": derived.schema,
            "TENANTRY_BACKUP_DATABASE_ROLE": derived.database_role_b,
            "TENANTRY_BACKUP_STORE_KIND": "folder",
            "TENANTRY_BACKUP_STORE_URL": str(store),
            "TENANTRY_BACKUP_STORE_PREFIX": derived.backup_prefix,
        }
    )


def test_a_production_tenant_is_closed_backed_up_erased_and_certified(
    systems: Systems, deprovisioning: Deprovisioning, make: Make, tmp_path: Path
) -> None:
    fleet = systems.fleet
    made = make(environment="production", policy="backup-then-delete")
    systems.as_provisioner(f"CREATE TABLE `{made.names.schema}`.contacts (name VARCHAR(80))")
    systems.as_provisioner(f"INSERT INTO `{made.names.schema}`.contacts VALUES ('Ada Lovelace')")
    deprovisioning.request(made.name, by="tests")
    resting = deprovisioning.advance(made.name)
    assert resting.error is None
    assert resting.sentence.startswith("in its grace period until")
    assert resting.again_at == resting.deletion.due_at
    assert list(resting.deletion.done) == [Step.CLOSE]
    assert set(replicas_of(made.names.namespace).values()) == {0}
    assert systems.as_provisioner(f"SELECT name FROM `{made.names.schema}`.contacts") == (("Ada Lovelace",),)
    with pytest.raises(Conflict, match="is being deleted"):
        fleet.specs.resolve_all([parse_tenant(made.text, source="tenant.yaml")])
    with pytest.raises(Conflict, match="without its grace period"):
        deprovisioning.request(made.name, by="tests", now=True)

    grace_is_over(fleet.deletions, made.name)
    stolen = tmp_path / "stolen"
    seen: list[str] = []

    def look(line: str) -> None:
        seen.append(line.partition(":")[0])
        if seen[-1] == Step.STACK:  # somebody copies the backups while they still open
            shutil.copytree(fleet.cell.spec.backups.url, stolen)
            with surroundings(settings(systems, made, stolen)) as around:
                open_all(around, catalogue(around.store).find(None))

    gone = deprovisioning.advance(made.name, progress=look)
    assert gone.error is None
    assert gone.tombstone is not None
    assert seen == [step.value for step in Step if step is not Step.CLOSE]

    with surroundings(settings(systems, made, stolen)) as around:
        manifest = catalogue(around.store).find(None)
        with pytest.raises(KeyDestroyed):
            open_all(around, manifest)
    certificate = Certificate.model_validate(gone.tombstone.certificate)
    check_certificate(certificate, public_keys(fleet.folder), source="tombstone")
    body = certificate.payload
    assert body["finalBackup"]["id"] == manifest.id
    assert body["found"]["database"] == {"schema": made.names.schema, "tables": 1, "bytes": 16384, "note": ""}
    assert body["found"]["resources"]["Deployment"] > 0
    assert {one["name"] for one in body["keysDestroyed"]} == {
        f"transit/{made.names.transit_key}",
        f"transit/{made.names.state_key}",
    }
    assert all(one["versions"] and one["destroyed_at"] for one in body["keysDestroyed"])
    assert body["inventory"]["result"] == "nothing-left"
    assert [one["name"] for one in body["inventory"]["kept"] if one["system"] == "store"] == [made.names.backup_prefix]
    assert "Ada" not in json.dumps(gone.tombstone.model_dump(mode="json"))
    assert fleet.registry.get(made.name) is None
    kept = Path(fleet.cell.spec.backups.url, made.names.backup_prefix)
    last_day = max(one.until for one in gone.tombstone.retained if one.in_store)
    # Other tests' tenants of the same cell age out too.
    assert made.name not in {one.name for one in age_out(fleet, datetime.combine(last_day, time(23, 59), tzinfo=UTC))}
    assert kept.exists()
    aged = age_out(fleet, datetime.combine(last_day + timedelta(days=1), time(), tzinfo=UTC))
    assert made.name in {one.name for one in aged}
    assert not kept.exists()
    assert age_out(fleet, datetime.combine(last_day + timedelta(days=9), time(), tzinfo=UTC)) == ()
    with pytest.raises(InvalidInput, match="is not being deleted"):
        deprovisioning.advance(made.name)


def test_a_name_that_is_used_again_shares_nothing_with_its_last_life(
    fleet: Fleet, deprovisioning: Deprovisioning, make: Make
) -> None:
    first = make()
    deprovisioning.request(first.name, by="tests", now=True)
    assert deprovisioning.advance(first.name).tombstone is not None
    second = make(name=first.name)
    assert second.incarnation != first.incarnation
    deprovisioning.request(second.name, by="tests", now=True)
    assert deprovisioning.advance(second.name).tombstone is not None
    lives = [one.incarnation for one in fleet.deletions.tombstones(first.name)]
    assert sorted(lives) == sorted([first.incarnation, second.incarnation])


def test_undelete_brings_the_same_tenant_back(
    systems: Systems, fleet: Fleet, deprovisioning: Deprovisioning, make: Make
) -> None:
    made = make(environment="staging", policy="backup-then-delete")
    before = replicas_of(made.names.namespace)
    schedules = schedules_of(made.names.namespace)
    assert any(before.values())
    assert schedules
    deprovisioning.request(made.name, by="tests")
    deprovisioning.advance(made.name)
    assert schedules_of(made.names.namespace) == ()
    deprovisioning.cancel(made.name)
    assert replicas_of(made.names.namespace) == before
    assert schedules_of(made.names.namespace) == schedules
    assert fleet.deletions.get(made.name) is None
    file = parse_tenant(made.text, source="tenant.yaml")
    (spec,) = fleet.specs.resolve_all([file])
    assert spec.incarnation == made.incarnation
    (again,) = fleet.up([(file, spec)])
    assert again.result is not None
    assert set(again.result.counts) == {Op.SAME}


def test_a_protected_tenant_refuses(fleet: Fleet, deprovisioning: Deprovisioning, make: Make) -> None:
    made = make(environment="staging", policy="protect")
    with pytest.raises(Conflict, match="protected"):
        deprovisioning.request(made.name, by="tests")
    assert fleet.deletions.get(made.name) is None


def test_once_erasing_began_it_cannot_be_cancelled(fleet: Fleet, deprovisioning: Deprovisioning, make: Make) -> None:
    made = make()
    deletion = deprovisioning.request(made.name, by="tests", now=True)
    fleet.deletions.put(deletion.model_copy(update={"erasing_since": deletion.due_at}))
    with pytest.raises(Conflict, match="cannot be cancelled"):
        deprovisioning.cancel(made.name)
    assert deprovisioning.advance(made.name).tombstone is not None


def test_a_damaged_journal_stops_everything_and_changes_nothing(
    fleet: Fleet, deprovisioning: Deprovisioning, make: Make
) -> None:
    made = make()
    deprovisioning.request(made.name, by="tests", now=True)
    (path,) = fleet.folder.rglob(f"*{made.incarnation}*/deprovision.json")
    kept = path.read_bytes()
    path.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(StateCorrupt):
        deprovisioning.advance(made.name)
    path.write_bytes(kept)
    assert deprovisioning.advance(made.name).tombstone is not None
