"""`tenantry cell …`: the shared services of a cell, and what it keeps of tenants that are gone."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from tenantry.cli.engine_commands import EngineOption
from tenantry.cli.live import LiveRuns
from tenantry.cli.opening import CellOption, LocalOption, open_fleet
from tenantry.cli.reporting import JsonOption, print_json, say

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


@app.command("age-out")
def age_out(cell: CellOption = None, local: LocalOption = "default", as_json: JsonOption = False) -> None:
    """Remove kept backups of deleted tenants whose days, as their certificates say, are over. Run it daily."""
    from tenantry.deprovisioning import age_out as remove

    with open_fleet(cell, local) as fleet:
        removed = remove(fleet, datetime.now(UTC))
    if as_json:
        print_json({"removed": [{"tenant": one.name, "incarnation": one.incarnation} for one in removed]})
    else:
        say(f"backups of {len(removed)} deleted tenants have aged out and are removed")
