"""One tenant of a shared, encrypted server at a moment between two backups; its neighbour and the server go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tenantry.recovery.keeper import database_server_of
from tenantry.recovery.physical import PhysicalBackups
from tenantry.tenancy.errors import Unsupported
from tenantry.tenancy.recovery import Goal
from tests.integration.recovery.conftest import Living, Make, fill


def moment() -> datetime:
    """A second with nothing before and after it: the binary log counts whole ones."""
    time.sleep(1.1)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    time.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds() + 1.1))
    return at


def scratch_servers(living: Living) -> list[str]:
    """Folders, and processes on them."""
    folder = PhysicalBackups(living.fleet.cell).folder
    processes = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [*map(str, folder.glob("scratch-*")), *(one for one in processes if f"{folder}/scratch-" in one)]


@pytest.fixture(scope="module")
def neighbour(make: Make) -> Living:
    living = make()
    fill(living, "neighbour")
    return living


@pytest.fixture(scope="module")
def based(shop: Living, neighbour: Living) -> PhysicalBackups:
    """The shared server with a physical backup from before the tests' changes."""
    fill(shop, "base")
    backups = PhysicalBackups(shop.fleet.cell)
    taken = backups.take()
    assert taken in backups.all()
    return backups


def test_a_tenant_is_brought_to_a_moment_with_its_definitions(
    shop: Living, neighbour: Living, based: PhysicalBackups
) -> None:
    moment()
    server = database_server_of(shop.spec)
    schema = f"`{shop.spec.names.schema}`"
    with server.session() as session:
        # Definitions with and without a default schema, which a filter by schema would treat differently.
        session.execute(f"ALTER TABLE {schema}.people ADD COLUMN age INT")
        session.execute(f"USE {schema}")
        session.execute("CREATE TABLE made_after (id INT PRIMARY KEY)")
        session.execute("INSERT INTO people (name, age) VALUES ('after', 7)")
        session.execute("CREATE VIEW ages AS SELECT age FROM people WHERE age IS NOT NULL")
    wanted = shop.rows()
    at = moment()
    shop.sql("DROP TABLE {}.made_after")
    shop.sql("UPDATE {}.people SET name = 'broken', age = 0")
    neighbour.sql("INSERT INTO {}.people (name) VALUES ('meanwhile')")
    theirs = neighbour.rows()
    restoring = shop.restoring()
    restoring.request(f"to {at}", Goal(at=at))
    ended = restoring.advance()
    assert ended.problem == ""
    assert shop.rows() == wanted
    assert shop.sql("SELECT age FROM {}.ages") == ((7,),)
    assert neighbour.rows() == theirs
    assert scratch_servers(shop) == []
    assert len(based.all()) == 1


@pytest.mark.parametrize("when", ["replay", "stop"])
def test_a_replay_that_is_stopped_leaves_no_server_and_goes_on(shop: Living, based: PhysicalBackups, when: str) -> None:
    at, told = moment(), []
    stopping: Callable[[], bool] = lambda: any(one.startswith(when) for one in told)  # noqa: E731
    restoring = shop.restoring(progress=told.append, stopping=stopping)
    restoring.request(f"stopped {at}", Goal(at=at))
    assert restoring.advance().ended_at is None
    assert scratch_servers(shop) == []
    assert shop.restoring().advance().problem == ""


def test_a_moment_that_cannot_be_reached_is_refused(shop: Living, based: PhysicalBackups) -> None:
    for at, said in (
        (datetime.now(UTC) + timedelta(hours=1), "has not been yet"),
        (datetime(2020, 1, 1, tzinfo=UTC), "no physical backup is older"),
    ):
        restoring = shop.restoring()
        restoring.request(f"to {at}", Goal(at=at))
        assert said in restoring.advance().problem
    cell = shop.fleet.cell
    without = cell.model_copy(
        update={
            "spec": cell.spec.model_copy(update={"backups": cell.spec.backups.model_copy(update={"physical": None})})
        }
    )
    with pytest.raises(Unsupported, match="keeps no physical backups"):
        PhysicalBackups(without)


def test_physical_backups_go_with_their_days(shop: Living, based: PhysicalBackups) -> None:
    assert based.prune(datetime.now(UTC)) == ()
    assert len(based.prune(datetime.now(UTC) + timedelta(days=8))) == 1
    assert based.all() == ()
