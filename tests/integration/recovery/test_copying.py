"""The operator copies the database server by itself, on a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tenantry.engine.locking import alone
from tenantry.fleet import Fleet
from tenantry.recovery.physical import PhysicalBackups, physical_standing
from tenantry.tenancy.errors import Locked
from tenantry_operator.copying import Copying
from tenantry_operator.metrics import Metrics
from tests.integration.recovery.conftest import Make

DAY = timedelta(days=1)


def metrics_of(copying: Copying) -> dict[str, float]:
    return {sample.name: sample.value for family in copying.collect() for sample in family.samples}


@pytest.fixture
def bare(make: Make) -> Iterator[Fleet]:
    """With a tenant, and no copy before and after."""
    fleet = make().fleet
    backups = PhysicalBackups(fleet.cell)
    backups.prune(datetime.now(UTC) + 8 * DAY)
    yield fleet
    backups.prune(datetime.now(UTC) + 8 * DAY)


def test_the_database_server_is_copied_each_day_and_old_copies_go(bare: Fleet) -> None:
    backups = PhysicalBackups(bare.cell)
    copying = Copying(bare, metrics=Metrics())
    now = datetime.now(UTC)
    assert "tenantry_physical_backup_timestamp_seconds" not in metrics_of(copying)

    assert copying.look(now).startswith("tenants can be brought to any moment")
    (first,) = backups.all()
    assert copying.look(now) == ""
    assert copying.look(now + DAY / 2) == ""
    assert metrics_of(copying) == {
        "tenantry_physical_backup_timestamp_seconds": first.taken_at.timestamp(),
        "tenantry_physical_backup_overdue": 0.0,
    }

    (backups.folder / "20261101T010203Z.part").mkdir()  # of one that was killed
    with alone(backups.folder / ".lock", what="the physical backup", hint=""), pytest.raises(Locked):
        copying.look(now + DAY)
    time.sleep(1.1)  # their names count whole seconds
    assert copying.look(first.taken_at + DAY)
    assert backups.all()[0] == first
    assert len(backups.all()) == 2
    assert not list(backups.folder.glob("*.part"))
    standing = physical_standing(bare)
    assert standing is not None
    assert not standing.overdue(now + DAY)
    assert standing.overdue(now + 2 * DAY)

    time.sleep(1.1)
    assert copying.look(now + 8 * DAY)
    assert len(backups.all()) == 1
    assert first not in backups.all()


def test_an_operator_elsewhere_copies_nothing_and_says_nothing(bare: Fleet) -> None:
    physical = bare.cell.spec.backups.physical
    assert physical is not None
    away = physical.model_copy(update={"options": "/nonexistent/my.cnf"})
    spec = bare.cell.spec
    cell = bare.cell.model_copy(
        update={"spec": spec.model_copy(update={"backups": spec.backups.model_copy(update={"physical": away})})}
    )
    before = PhysicalBackups(bare.cell).all()
    elsewhere = Fleet(cell=cell, engine=bare.engine, catalogue=bare.catalogue)
    copying = Copying(elsewhere, metrics=Metrics())
    assert copying.look(datetime.now(UTC) + 30 * DAY) == ""
    assert metrics_of(copying) == {}
    assert PhysicalBackups(cell).all() == before
