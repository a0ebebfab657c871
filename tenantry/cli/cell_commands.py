"""`tenantry cell …`: the shared services of a cell, and what it keeps of tenants that are gone."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from tenantry.cli import cell_backup_commands
from tenantry.cli.engine_commands import EngineOption
from tenantry.cli.live import LiveRuns
from tenantry.cli.opening import find_cell, open_fleet
from tenantry.cli.options import CellOption, LocalOption
from tenantry.cli.physical_table import physical_document, print_physical
from tenantry.cli.reporting import JsonOption, print_json, say
from tenantry.cli.validity_table import print_validities, validity_documents

__all__ = ["app"]

app = typer.Typer(help="Set up a cell's shared services.", no_args_is_help=True)


@app.command()
def up(
    cell: CellOption = None,
    local: LocalOption = "default",
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set up or bring up to date OpenBao's mounts and policies, server connections, definitions; safe to repeat."""
    with LiveRuns(quiet=as_json) as live, open_fleet(cell, local, administrator=True, engine=engine) as fleet:
        result = fleet.prepare_cell(on_event=lambda event: live("cell", event))
    if as_json:
        print_json(
            {
                "engine": fleet.engine.name,
                "cell": fleet.cell.metadata.name,
                "changes": [change.urn for change in result.changes],
            }
        )
    else:
        say(f"cell {fleet.cell.metadata.name}: {len(result.changes)} changes in {result.seconds:.1f} s")


@app.command("physical-backup")
def physical_backup(cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False) -> None:
    """Copy the whole database server, as the base from which a tenant is brought to any later moment. An
    operator on the server's machine does it daily by itself; else run it there. Copies older than the cell keeps them
    are removed."""
    from tenantry.recovery.physical import PhysicalBackups

    with open_fleet(cell, local) as fleet:
        backups = PhysicalBackups(fleet.cell)
        taken = backups.take()
        removed = backups.prune(datetime.now(UTC))
    if as_json:
        print_json(
            {
                "takenAt": taken.taken_at.isoformat(),
                "folder": str(taken.folder),
                "removed": [one.taken_at.isoformat() for one in removed],
            }
        )
    else:
        say(f"tenants can be brought to any moment from {taken.taken_at:%Y-%m-%d %H:%M:%S UTC} on")
        say(f"  {taken.folder}; {len(removed)} old ones removed")


@app.command()
def status(cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False) -> None:
    """Show until when the tokens and certificates are good that the cell lives on, and how far back its tenants can be
    brought to a moment. Exit code 3 once one has run out."""
    from tenantry.fleet.validity import cell_validities
    from tenantry.recovery.physical import physical_standing

    with open_fleet(cell, local) as fleet:
        found, physical = cell_validities(fleet), physical_standing(fleet)
        name = fleet.cell.metadata.name
    if as_json:
        print_json(
            {"cell": name, "validities": validity_documents(found), "physicalBackups": physical_document(physical)}
        )
    else:
        print_validities(found)
        print_physical(physical)
    if any(one.days_left(datetime.now(UTC)) <= 0 for one in found):
        raise typer.Exit(3)


@app.command("age-out")
def age_out(cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False) -> None:
    """Remove what is kept of deleted tenants once its days, as their certificates say, are over. Run it daily."""
    from tenantry.deprovisioning import age_out as remove
    from tenantry.recovery.physical import PhysicalBackups

    with open_fleet(cell, local) as fleet:
        removed = remove(fleet, datetime.now(UTC))
        if fleet.cell.spec.backups.physical is not None:
            PhysicalBackups(fleet.cell).prune(datetime.now(UTC))
    if as_json:
        print_json({"removed": [{"tenant": one.name, "incarnation": one.incarnation} for one in removed]})
    else:
        say(f"backups of {len(removed)} deleted tenants have aged out and are removed")


@app.command("migrate-storage")
def migrate(cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False) -> None:
    """Store every Tenant object in the present version of the API, so that an older one can go; safe to repeat."""
    from tenantry.engine.cluster import connect
    from tenantry.fleet.storage_migration import migrate_storage
    from tenantry.tenancy.schema import GROUP, PLURAL

    find_cell(cell, local)
    done = migrate_storage(connect({}), f"{PLURAL}.{GROUP}", progress=(lambda _line: None) if as_json else say)
    if as_json:
        print_json({"version": done.version, "before": done.before, "objects": done.objects})
    elif done.before == (done.version,):
        say(f"every Tenant is stored as {done.version} already")
    else:
        say(f"{done.objects} Tenants are stored as {done.version}; {', '.join(done.before)} were before")


cell_backup_commands.register(app)
